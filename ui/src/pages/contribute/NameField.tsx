import { getJson } from "../../api";
import { Field } from "../../components/Field";
import { strings } from "../../strings";
import { useFetched } from "../../useFetched";

// As `models_store/catalogue.py` has it.
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const RESERVED = /^(default|(sha256:)?[0-9a-f]{8,64})$/;

interface Submissions {
  data: { names: string[] }[];
}

export function isName(name: string): boolean {
  return NAME.test(name) && !RESERVED.test(name);
}

/** A folder's name as a submission's. */
export function suggestedName(folder: string): string {
  const name = folder
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[._-]+|[._-]+$/g, "")
    .slice(0, 64);
  return isName(name) ? name : "my-voice";
}

/** What the submission is to be called. */
export function NameField({ name, onName }: { name: string; onName: (name: string) => void }) {
  const t = strings.value.contribute.name;
  const submissions = useFetched((signal) => getJson<Submissions>("/v1/submissions", { signal }), []).answer;
  const isTaken = submissions?.data.some(({ names }) => names.includes(name));
  const error = RESERVED.test(name) ? t.reserved : isName(name) ? null : t.invalid;
  return (
    <Field label={t.label} hint={isTaken ? <strong class="taken">{t.taken}</strong> : t.hint} error={error}>
      {(described) => (
        <input
          {...described}
          value={name}
          maxLength={64}
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          onInput={(event) => onName(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}
