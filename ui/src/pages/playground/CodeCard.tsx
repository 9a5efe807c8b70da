import { signal } from "@preact/signals";

import { Card } from "../../components/Card";
import { Choice } from "../../components/Choice";
import { CopyButton } from "../../components/CopyButton";
import { strings } from "../../strings";
import { curl, python } from "./code";
import type { Wish } from "./speech";

const WRITERS = { curl, python };
const chosen = signal<keyof typeof WRITERS>("curl");

/** The same request without this page. */
export function CodeCard({ wish }: { wish: Wish }) {
  const t = strings.value.playground.code;
  const text = WRITERS[chosen.value](wish);
  return (
    <Card title={t.title} aside={<CopyButton text={text} />}>
      <Choice label={t.language} names={{ curl: "curl", python: "Python" }} choices={["curl", "python"]} chosen={chosen} />
      <pre class="code">
        <code>{text}</code>
      </pre>
    </Card>
  );
}
