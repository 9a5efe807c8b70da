import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";

import { Choice } from "./components/Choice";
import { LANGUAGES, language, theme, THEMES } from "./preferences";
import { ROUTES } from "./routes";
import { strings } from "./strings";

/** What stands around every page: its name, the navigation, language and theme. */
export function Shell({ children }: { children: ComponentChildren }) {
  const t = strings.value.site;
  return (
    <div class="shell">
      <a class="skip" href="#content">
        {t.skip}
      </a>
      <header class="masthead">
        <a class="brand" href="/">
          <Mark />
          {t.name}
        </a>
        <Navigation />
        <Choice label={t.language} names={t.languages} choices={LANGUAGES} chosen={language} />
      </header>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
      <footer class="colophon">
        <p>
          {t.footer}{" "}
          <a href="/docs" target="_self">
            {t.api}
          </a>
        </p>
        <Choice label={t.theme} names={t.themes} choices={THEMES} chosen={theme} />
      </footer>
    </div>
  );
}

/** Scrolls sideways where the screen is narrow; the page that is open is in sight. */
function Navigation() {
  const here = useLocation().path.split("/")[1];
  const bar = useRef<HTMLElement>(null);
  useEffect(() => {
    const current = bar.current?.querySelector<HTMLElement>("[aria-current]");
    if (current) bar.current!.scrollLeft = current.offsetLeft - (bar.current!.clientWidth - current.offsetWidth) / 2;
  }, [here, language.value]);
  return (
    <nav ref={bar} aria-label={strings.value.site.navigation}>
      {ROUTES.map(
        ({ path, label }) =>
          label && (
            <a href={path.split("/:")[0]} aria-current={here === path.split("/")[1] ? "page" : undefined}>
              {label(strings.value)}
            </a>
          ),
      )}
    </nav>
  );
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" aria-hidden="true">
      <path d="M3 10v4M7.5 7v10M12 3v18M16.5 8v8M21 10.5v3" />
    </svg>
  );
}
