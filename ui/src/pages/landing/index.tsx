import { useEffect } from "preact/hooks";

import { hasPage } from "../../routes";
import { strings } from "../../strings";
import { Wave } from "./Wave";
import "./landing.css";

const DOORS = [
  { name: "model", path: "/contribute" },
  { name: "data", path: "/voice-data" },
  { name: "listen", path: "/playground" },
] as const;

/** What this is, and a door for everyone who comes. */
export default function Landing() {
  const t = strings.value.landing;
  const name = strings.value.site.name;
  useEffect(() => {
    document.title = `${name} · ${t.title}`;
  }, [name, t]);
  return (
    <div class="landing">
      <div class="hero">
        <h1>{t.title}</h1>
        <p class="lead">{t.lead}</p>
      </div>
      <Wave />
      <ul class="doors">
        {DOORS.map(({ name, path }) => (
          <li key={name} class="door">
            <h2>{t.doors[name].title}</h2>
            <p>{t.doors[name].text}</p>
            {hasPage(path) ? (
              <a class="button secondary" href={path}>
                {t.doors[name].action}
              </a>
            ) : (
              <p class="note">{t.doors[name].closed}</p>
            )}
          </li>
        ))}
      </ul>
      <aside class="not-here">
        <h2>{t.recognition.title}</h2>
        <p>{t.recognition.text}</p>
      </aside>
    </div>
  );
}
