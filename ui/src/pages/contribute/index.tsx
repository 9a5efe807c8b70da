import { useEffect, useState } from "preact/hooks";

import { Title } from "../../components/Title";
import { strings } from "../../strings";
import type { Chosen } from "../../upload/chosenFiles";
import { Choosing } from "./Choosing";
import { followAgain, stage } from "./contribution";
import { Paused } from "./Paused";
import { Published } from "./Published";
import { Reading } from "./Reading";
import { Refused } from "./Refused";
import { Sending } from "./Sending";
import { Steps } from "./Steps";
import "./contribute.css";

const STEP_OF = { choosing: 0, sending: 1, paused: 1, reading: 2, refused: 2, published: 3 } as const;

/** From a folder on the contributor's machine to a voice that speaks. */
export default function Contribute() {
  const t = strings.value.contribute;
  const now = stage.value;
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const forgetChoice = () => setChosen(null);
  useEffect(followAgain, []);
  return (
    <>
      <Title lead={t.lead}>{t.title}</Title>
      <Steps current={STEP_OF[now.at]} />
      <div class="stack" aria-live="polite">
        {now.at === "choosing" && <Choosing chosen={chosen} onChosen={setChosen} />}
        {now.at === "sending" && <Sending isInterrupted={now.isInterrupted} />}
        {now.at === "paused" && <Paused error={now.error} onGivenUp={forgetChoice} />}
        {now.at === "reading" && <Reading intake={now.intake} isInterrupted={now.isInterrupted} />}
        {now.at === "refused" && <Refused refused={now} onAgain={forgetChoice} />}
        {now.at === "published" && <Published intake={now.intake} onAnother={forgetChoice} />}
      </div>
    </>
  );
}
