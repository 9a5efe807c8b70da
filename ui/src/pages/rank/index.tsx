import { useRoute } from "preact-iso";

import { Card } from "../../components/Card";
import { Empty } from "../../components/Empty";
import { ErrorNote } from "../../components/ErrorNote";
import { Title } from "../../components/Title";
import { listTests, type Test } from "../../listening";
import { strings } from "../../strings";
import { useFetched } from "../../useFetched";
import { Ranking } from "./Ranking";
import "./rank.css";

/** What listening tests have found: all of them, or one. */
export default function Rank() {
  const { test } = useRoute().params;
  return test ? <Ranking key={test} testId={test} /> : <Rankings />;
}

function Rankings() {
  const t = strings.value.rank;
  const { answer: tests, error, again } = useFetched(listTests, []);
  const voted = tests?.filter((test) => test.votes > 0);
  return (
    <>
      <Title lead={t.lead}>{t.title}</Title>
      <ErrorNote error={error} onRetry={again} />
      {voted?.length === 0 && <Empty action={<a href="/compare">{t.toTests}</a>}>{t.none}</Empty>}
      <ul class="rankings">
        {voted?.map((test) => (
          <li key={test.id}>
            <RankingCard test={test} />
          </li>
        ))}
      </ul>
    </>
  );
}

function RankingCard({ test }: { test: Test }) {
  const t = strings.value.compare;
  return (
    <Card>
      <h2>
        <a href={`/rank/${test.id}`}>{test.title}</a>
      </h2>
      <p class="muted small figures">
        {t.kinds[test.kind].name} · {t.size(test.systems.length, test.definition.texts.length)} · {t.counts(test.raters, test.votes)}
      </p>
    </Card>
  );
}
