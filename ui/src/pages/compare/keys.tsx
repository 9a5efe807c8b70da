import { effect, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { Button } from "../../components/Button";
import type { Kind, Side } from "../../listening";
import { strings } from "../../strings";

interface Actions {
  onToggle: () => void;
  onSide: (side: Side) => void;
  /** Counted from 1. */
  onAnswer: (number: number) => void;
  onEnter: () => void;
}

/** Whoever speaks to the computer, or hits keys by accident, can switch them off. */
const areOn = signal(localStorage.getItem("compare-keys") !== "off");
effect(() => localStorage.setItem("compare-keys", areOn.value ? "on" : "off"));

/** Keys that work wherever the focus is, but where it is on something that wants them for itself. */
export function useKeys(actions: Actions): void {
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (areOn.value && !isTaken(event) && act(event, latest.current)) event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

/** True: it was one of ours. */
function act({ code, key }: KeyboardEvent, actions: Actions): boolean {
  // By the letter, else by its place: a Korean layout gives ㅁ, ㅠ and ㅌ.
  const letter = /^[a-z]$/i.test(key) ? key.toLowerCase() : code.replace("Key", "").toLowerCase();
  if (code === "Space") actions.onToggle();
  else if (letter === "a" || letter === "b" || letter === "x") actions.onSide(letter);
  else if (/^[1-5]$/.test(key)) actions.onAnswer(Number(key));
  else if (key === "Enter") actions.onEnter();
  else return false;
  return true;
}

function isTaken(event: KeyboardEvent): boolean {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return true;
  const target = event.target as HTMLElement;
  const isPressable = target.closest("button, a, summary, select") !== null;
  if (isPressable) return event.code === "Space" || event.key === "Enter";
  return target.matches("textarea, input:not([type=radio], [type=range])");
}

export function KeyLegend({ kind }: { kind: Kind }) {
  const t = strings.value.compare.keys;
  const sides = kind === "mos" ? "A" : kind === "abx" ? "A B X" : "A B";
  const answers = kind === "mos" ? "1–5" : kind === "abx" ? "1 2" : "1 2 3";
  const rows = [
    [t.space, t.toggles],
    [sides, t.plays],
    [answers, t.answers],
    ["Enter", t.votes],
  ];
  return (
    <div class={`legend ${areOn.value ? "" : "off"}`}>
      <dl>
        {rows.map(([keys, meaning]) => (
          <div key={keys}>
            <dt>
              {keys!.split(" ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <Button kind="quiet" onClick={() => (areOn.value = !areOn.value)}>
        {areOn.value ? t.turnOff : t.turnOn}
      </Button>
    </div>
  );
}
