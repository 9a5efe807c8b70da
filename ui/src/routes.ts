import { lazy } from "preact-iso";
import type { FunctionComponent } from "preact";

import type { Strings } from "./strings";

export interface Route {
  /**
   * As preact-iso matches them: `:name` is a parameter, `?` makes it optional. The first segment is the name of
   * the page's folder: the server answers every address below it with the page.
   */
  path: string;
  page: FunctionComponent;
  /** Its name in the navigation; null: it isn't there. */
  label: ((strings: Strings) => string) | null;
}

/** Every page there is, in the navigation's order. */
export const ROUTES: readonly Route[] = [
  { path: "/", page: lazy(() => import("./pages/landing")), label: null },
  { path: "/contribute", page: lazy(() => import("./pages/contribute")), label: (t) => t.contribute.label },
  { path: "/voice-data", page: lazy(() => import("./pages/voice-data")), label: (t) => t.voiceData.label },
  { path: "/playground", page: lazy(() => import("./pages/playground")), label: (t) => t.playground.label },
  { path: "/compare/:test?", page: lazy(() => import("./pages/compare")), label: (t) => t.compare.label },
  { path: "/rank/:test?", page: lazy(() => import("./pages/rank")), label: (t) => t.rank.label },
  { path: "/evaluations", page: lazy(() => import("./pages/evaluations")), label: (t) => t.evaluations.label },
];

export function hasPage(path: string): boolean {
  return ROUTES.some((route) => route.path.split("/:")[0] === path);
}
