import { useEffect, useState } from "preact/hooks";

import { ApiError } from "../../api";
import { ErrorNote } from "../../components/ErrorNote";
import { strings } from "../../strings";
import { TooManyFiles, type Chosen } from "../../upload/chosenFiles";
import { DropArea } from "../../upload/DropArea";
import { largestUpload } from "../../upload/resumable";
import { ChosenModel } from "./ChosenModel";
import { inspect, renamed, type Inspection } from "./inspection";
import { Layouts } from "./Layouts";
import { Unfinished } from "./Unfinished";

/** Before anything is sent: what to choose, what was chosen, and what is wrong with it. */
export function Choosing({ chosen, onChosen }: { chosen: Chosen | null; onChosen: (chosen: Chosen | null) => void }) {
  const t = strings.value.contribute;
  const [inspection, setInspection] = useState<Inspection | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    let isCurrent = true;
    setError(null);
    if (chosen === null) setInspection(null);
    else {
      largestUpload("submission")
        .then((maxBytes) => inspect(chosen, maxBytes))
        .then(
          (found) => isCurrent && setInspection(found),
          (failure) => isCurrent && setError(failure),
        );
    }
    return () => void (isCurrent = false);
  }, [chosen, round]);
  const refuse = (failure: unknown) => setError(failure instanceof TooManyFiles ? new ApiError(t.drop.tooMany, 0) : failure);
  return (
    <>
      {inspection === null && <Unfinished />}
      <ErrorNote error={error} onRetry={chosen ? () => setRound(round + 1) : undefined} />
      {inspection === null ? (
        <DropArea strings={t.drop} onChosen={onChosen} onError={refuse} />
      ) : (
        <ChosenModel
          inspection={inspection}
          onRename={(from, to) => onChosen(renamed(inspection.chosen, from, to))}
          onAgain={() => onChosen(null)}
        />
      )}
      {inspection?.layout || inspection?.isArchive ? null : <Layouts />}
    </>
  );
}
