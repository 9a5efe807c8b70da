import { useEffect, useState } from "preact/hooks";

import { ApiError } from "../../api";
import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { ErrorNote } from "../../components/ErrorNote";
import { Progress } from "../../components/Progress";
import { Title } from "../../components/Title";
import { getTest, isInTheMaking, join, progressOf, type Progress as RaterProgress, type Test } from "../../listening";
import { strings } from "../../strings";
import { useFetched } from "../../useFetched";
import { Finished } from "./Finished";
import { TrialCard } from "./TrialCard";

const POLL_MS = 1500;

/** One person's way through one test. The browser remembers who it is, so a reload goes on where it was. */
export function Rating({ testId }: { testId: string }) {
  const { answer: test, error, again } = useFetched((signal) => getTest(testId, signal), [testId]);
  const rater = useRater(testId);
  useEffect(() => {
    if (!test || !isInTheMaking(test)) return;
    const timer = setTimeout(again, POLL_MS);
    return () => clearTimeout(timer);
  }, [test]);
  if (!test) return <ErrorNote error={error} onRetry={again} />;
  if (rater.progress?.trial == null) {
    return (
      <div class="rating">
        <Title>{test.title}</Title>
        <ErrorNote error={rater.error} onRetry={rater.isKnown ? rater.refresh : rater.join} />
        {rater.progress ? <Finished progress={rater.progress} onLeave={rater.leave} /> : rater.isKnown ? null : <Welcome test={test} rater={rater} />}
      </div>
    );
  }
  return <Trials progress={rater.progress} rater={rater} />;
}

function Trials({ progress, rater }: { progress: RaterProgress; rater: Rater }) {
  const t = strings.value.compare;
  return (
    <div class="rating">
      <div class="rating-head">
        <h1 class="rating-title">{progress.title}</h1>
        <Progress label={t.trial(progress.voted + 1, progress.total)} done={progress.voted} total={progress.total} />
      </div>
      <ErrorNote error={rater.error} onRetry={rater.refresh} />
      {progress.status === "closed" ? (
        <Card title={t.closedTitle}>
          <p>{t.closedText}</p>
          <a href={`/rank/${progress.test_id}`}>{t.toResults}</a>
        </Card>
      ) : (
        <TrialCard key={progress.trial!.position} progress={progress} trial={progress.trial!} onNext={rater.refresh} />
      )}
    </div>
  );
}

function Welcome({ test, rater }: { test: Test; rater: Rater }) {
  const t = strings.value.compare;
  if (test.status === "failed") return <p class="error-note">{test.error}</p>;
  if (test.status === "closed") {
    return (
      <Card title={t.closedTitle}>
        <p>{t.closedText}</p>
        <a href={`/rank/${test.id}`}>{t.toResults}</a>
      </Card>
    );
  }
  if (isInTheMaking(test)) {
    return (
      <Card>
        <Progress label={t.making} done={test.clips_done} total={test.clips_total}>
          {test.clips_done} / {test.clips_total}
        </Progress>
        <p class="muted">{t.makingText}</p>
      </Card>
    );
  }
  return (
    <Card title={t.kinds[test.kind].question}>
      <p>{t.kinds[test.kind].instruction}</p>
      <ul class="advice">
        {t.advice.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
      <div class="row">
        <Button kind="primary" isBusy={rater.isJoining} onClick={rater.join}>
          {t.start}
        </Button>
      </div>
    </Card>
  );
}

interface Rater {
  progress: RaterProgress | null;
  /** The browser remembers one, who may not have been asked for yet. */
  isKnown: boolean;
  isJoining: boolean;
  error: unknown;
  join: () => void;
  refresh: () => Promise<void>;
  /** Someone else is to take part from here. */
  leave: () => void;
}

function useRater(testId: string): Rater {
  const name = `rater:${testId}`;
  const [raterId, setRaterId] = useState(() => localStorage.getItem(name));
  const [progress, setProgress] = useState<RaterProgress | null>(null);
  const [isJoining, setJoining] = useState(false);
  const [error, setError] = useState<unknown>(null);

  const leave = () => {
    localStorage.removeItem(name);
    setRaterId(null);
    setProgress(null);
  };
  const take = (found: RaterProgress) => {
    setError(null);
    setProgress(found);
  };
  const refresh = async () => {
    if (raterId === null) return;
    await progressOf(raterId).then(take, (error) => {
      // The server forgot who this is: the test was deleted, or made anew elsewhere.
      if (error instanceof ApiError && error.status === 404) leave();
      else setError(error);
    });
  };
  const start = () => {
    setJoining(true);
    join(testId)
      .then((joined) => {
        localStorage.setItem(name, joined.rater_id);
        setRaterId(joined.rater_id);
        take(joined);
      }, setError)
      .finally(() => setJoining(false));
  };
  useEffect(() => {
    if (progress === null) void refresh();
  }, [raterId]);
  return { progress, isKnown: raterId !== null, isJoining, error, join: start, refresh, leave };
}
