import { useRoute } from "preact-iso";

import { NewTest } from "./NewTest";
import { Rating } from "./Rating";
import { TestList } from "./TestList";
import "./compare.css";

/** Listening tests: all of them, a new one, or one to take part in. */
export default function Compare() {
  const { test } = useRoute().params;
  if (!test) return <TestList />;
  return test === "new" ? <NewTest /> : <Rating key={test} testId={test} />;
}
