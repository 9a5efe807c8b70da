import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";

import { strings } from "../strings";

/** A page's heading, which is the window's title as well. `lead`: a sentence or two below it. */
export function Title({ children, lead }: { children: string; lead?: ComponentChildren }) {
  const site = strings.value.site.name;
  useEffect(() => {
    document.title = `${children} · ${site}`;
  }, [children, site]);
  return (
    <div class="title">
      <h1>{children}</h1>
      {lead && <p class="lead">{lead}</p>}
    </div>
  );
}
