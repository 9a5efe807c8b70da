import { useState } from "preact/hooks";

import { strings } from "../strings";
import { Button } from "./Button";

const SAID_FOR_MS = 1600;

/** Copies `text`, and says that it did. */
export function CopyButton({ text }: { text: string }) {
  const [isCopied, setCopied] = useState(false);
  const t = strings.value.common;
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), SAID_FOR_MS);
  };
  return (
    <Button kind="quiet" onClick={copy}>
      <span aria-live="polite">{isCopied ? t.copied : t.copy}</span>
    </Button>
  );
}
