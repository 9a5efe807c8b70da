import { render } from "preact";
import { ErrorBoundary, LocationProvider, Route, Router } from "preact-iso";

import "./style/tokens.css";
import "./style/base.css";
import "./style/components.css";
import { KeyDialog } from "./components/KeyDialog";
import { NotFound } from "./pages/NotFound";
import { ROUTES } from "./routes";
import { Shell } from "./Shell";

/** A server that was updated meanwhile has other files: the page begins anew, unless it just did. */
const RELOAD_AGAIN_AFTER_MS = 10_000;
addEventListener("vite:preloadError", (event) => {
  const reloadedAt = Number(sessionStorage.getItem("reloaded-at"));
  if (Date.now() - reloadedAt < RELOAD_AGAIN_AFTER_MS) return;
  event.preventDefault();
  sessionStorage.setItem("reloaded-at", String(Date.now()));
  location.reload();
});

function Page() {
  return (
    <LocationProvider>
      <Shell>
        <ErrorBoundary>
          <Router>
            {ROUTES.map(({ path, page }) => (
              <Route path={path} component={page} />
            ))}
            <Route default component={NotFound} />
          </Router>
        </ErrorBoundary>
      </Shell>
      <KeyDialog />
    </LocationProvider>
  );
}

render(<Page />, document.getElementById("page")!);
