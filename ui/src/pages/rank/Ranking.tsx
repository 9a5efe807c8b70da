import { useState } from "preact/hooks";

import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { Empty } from "../../components/Empty";
import { ErrorNote } from "../../components/ErrorNote";
import { StatusTag } from "../../components/StatusTag";
import { Title } from "../../components/Title";
import { exportVotes, getResults, getTest, type Results, type Test } from "../../listening";
import { strings } from "../../strings";
import { useFetched } from "../../useFetched";
import { Findings } from "./Findings";
import { Raters } from "./Raters";
import { VoteMatrix } from "./VoteMatrix";

/** One test's results, as its stored votes give them. */
export function Ranking({ testId }: { testId: string }) {
  const t = strings.value.rank;
  const { answer, error, again } = useFetched(
    (signal) => Promise.all([getTest(testId, signal), getResults(testId, signal)]),
    [testId],
  );
  if (!answer) return <ErrorNote error={error} onRetry={again} />;
  const [test, results] = answer;
  return (
    <div class="stack">
      <Head test={test} onRefresh={again} />
      <ErrorNote error={error} onRetry={again} />
      {results.votes === 0 ? (
        <Empty
          action={
            <a class="button primary" href={`/compare/${test.id}`}>
              {t.takePart}
            </a>
          }
        >
          {t.noVotes}
        </Empty>
      ) : (
        <Found test={test} results={results} />
      )}
    </div>
  );
}

function Head({ test, onRefresh }: { test: Test; onRefresh: () => void }) {
  const t = strings.value.rank;
  const words = strings.value.compare;
  const facts = [words.kinds[test.kind].name, words.size(test.systems.length, test.definition.texts.length), words.counts(test.raters, test.votes)];
  return (
    <div class="row apart">
      <div>
        <a class="small" href="/rank">
          {t.allTests}
        </a>
        <Title
          lead={
            <span class="figures">
              {facts.join(" · ")} <StatusTag test={test} />
            </span>
          }
        >
          {test.title}
        </Title>
      </div>
      <div class="row">
        {test.status === "open" && (
          <a class="button secondary" href={`/compare/${test.id}`}>
            {t.takePart}
          </a>
        )}
        <Button kind="quiet" onClick={onRefresh}>
          {t.refresh}
        </Button>
      </div>
    </div>
  );
}

function Found({ test, results }: { test: Test; results: Results }) {
  return (
    <>
      <Findings test={test} results={results} />
      <div class="columns">
        <Raters raters={results.raters} hasTraps={test.definition.traps.length > 0} />
        <div class="stack">
          {results.wins && results.votes_counted > 0 && <VoteMatrix standings={results.standings} wins={results.wins} />}
          <Export test={test} />
        </div>
      </div>
    </>
  );
}

/** Some browsers read what is saved a while after the click. */
const SAVED_WITHIN_MS = 60_000;

function Export({ test }: { test: Test }) {
  const t = strings.value.rank;
  const [error, setError] = useState<unknown>(null);
  const save = async (format: "csv" | "json") => {
    setError(null);
    try {
      // By a request of ours, because a link carries no key.
      const address = URL.createObjectURL(await exportVotes(test.id, format));
      const link = Object.assign(document.createElement("a"), { href: address, download: `${test.id}.${format}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), SAVED_WITHIN_MS);
    } catch (error) {
      setError(error);
    }
  };
  return (
    <Card title={t.export}>
      <p class="muted">{t.exportText}</p>
      <ErrorNote error={error} />
      <div class="row">
        <Button onClick={() => save("csv")}>{t.csv}</Button>
        <Button onClick={() => save("json")}>{t.json}</Button>
      </div>
    </Card>
  );
}
