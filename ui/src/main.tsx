import { render } from "preact";
import { ErrorBoundary, LocationProvider, Route, Router } from "preact-iso";

import "./style/tokens.css";
import "./style/base.css";
import "./style/components.css";
import { KeyDialog } from "./components/KeyDialog";
import { NotFound } from "./pages/NotFound";
import { ROUTES } from "./routes";
import { Shell } from "./Shell";

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
