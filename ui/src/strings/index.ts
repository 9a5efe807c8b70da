import { computed } from "@preact/signals";

import { language, type Language } from "../preferences";
import { en } from "./en";
import { ko } from "./ko";

/** English decides which strings there are: another language that lacks one doesn't type-check. */
export type Strings = Widened<typeof en>;

type Widened<T> = T extends string
  ? string
  : T extends (...parameters: infer Parameters) => string
    ? (...parameters: Parameters) => string
    : { readonly [Name in keyof T]: Widened<T[Name]> };

const ALL: Record<Language, Strings> = { en, ko };

/** The strings of the chosen language; a component that reads `.value` follows the choice. */
export const strings = computed(() => ALL[language.value]);
