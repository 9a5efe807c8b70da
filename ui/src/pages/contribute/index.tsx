import { useEffect, useRef, useState } from "preact/hooks";

import { Title } from "../../components/Title";
import { strings, type Strings } from "../../strings";
import type { Chosen } from "../../upload/chosenFiles";
import { Choosing } from "./Choosing";
import { contribution, followAgain, stage, type Stage } from "./contribution";
import { Paused } from "./Paused";
import { Published } from "./Published";
import { Reading } from "./Reading";
import { Refused } from "./Refused";
import { Sending } from "./Sending";
import { Steps, STEPS } from "./Steps";
import "./contribute.css";

const STEP_OF = { choosing: 0, sending: 1, paused: 1, reading: 2, refused: 2, published: 3 } as const;

/** From a folder on the contributor's machine to a voice that speaks. */
export default function Contribute() {
  const t = strings.value.contribute;
  const now = stage.value;
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const forgetChoice = () => setChosen(null);
  const place = useRef<HTMLElement>(null);
  const entered = useRef(now.at);
  useEffect(followAgain, []);
  useEffect(() => {
    // The button that was pressed may be gone: whoever uses a keyboard goes on here and not at the top.
    const isLost = document.activeElement === document.body || document.activeElement === null;
    if (entered.current !== now.at && isLost) place.current!.focus({ preventScroll: true });
    entered.current = now.at;
  }, [now.at]);
  return (
    <>
      <Title lead={t.lead}>{t.title}</Title>
      <Steps current={STEP_OF[now.at]} />
      <p class="unseen" role="status">
        {announcement(now, t)}
      </p>
      <section class="stack stage" ref={place} tabIndex={-1} aria-label={t.steps[STEPS[STEP_OF[now.at]]!]}>
        {now.at === "choosing" && <Choosing chosen={chosen} onChosen={setChosen} />}
        {now.at === "sending" && <Sending isInterrupted={now.isInterrupted} />}
        {now.at === "paused" && <Paused error={now.error} onGivenUp={forgetChoice} />}
        {now.at === "reading" && <Reading intake={now.intake} isInterrupted={now.isInterrupted} />}
        {now.at === "refused" && <Refused refused={now} onAgain={forgetChoice} />}
        {now.at === "published" && <Published intake={now.intake} onAnother={forgetChoice} />}
      </section>
    </>
  );
}

/** What a screen reader says when the page changes; figures that change all the time aren't said. */
function announcement(now: Stage, t: Strings["contribute"]): string {
  const name = contribution.value?.name ?? "";
  switch (now.at) {
    case "choosing":
      return "";
    case "sending":
      return now.isInterrupted ? t.sending.interrupted : t.sending.title(name);
    case "paused":
      return t.paused.title(name);
    case "reading":
      return t.reading.title(name);
    case "refused":
      return t.refused.title(now.name);
    case "published":
      return t.published.title(now.intake.name);
  }
}
