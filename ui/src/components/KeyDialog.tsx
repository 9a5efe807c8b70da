import { useState } from "preact/hooks";

import { question, setKey } from "../key";
import { strings } from "../strings";
import { Button } from "./Button";
import { Dialog } from "./Dialog";
import { Field } from "./Field";

/** Asks for the API key while a request waits for it. */
export function KeyDialog() {
  const asked = question.value;
  const [given, setGiven] = useState("");
  const [isRemembered, setRemembered] = useState(true);
  if (asked === null) return null;
  const t = strings.value.key;
  const submit = (event: Event) => {
    event.preventDefault();
    setKey(given.trim(), isRemembered);
    asked.answer(true);
  };
  return (
    <Dialog title={t.title} onClose={() => asked.answer(false)}>
      <form onSubmit={submit}>
        <Field label={t.label} hint={t.why} error={asked.wasWrong ? t.wrong : null}>
          {(described) => (
            <input
              {...described}
              type="password"
              autocomplete="current-password"
              autofocus
              required
              value={given}
              onInput={(event) => setGiven(event.currentTarget.value)}
            />
          )}
        </Field>
        <label class="check">
          <input type="checkbox" checked={isRemembered} onChange={(event) => setRemembered(event.currentTarget.checked)} />
          {t.remember}
        </label>
        <div class="row end">
          <Button kind="quiet" onClick={() => asked.answer(false)}>
            {strings.value.common.cancel}
          </Button>
          <Button kind="primary" type="submit">
            {t.submit}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
