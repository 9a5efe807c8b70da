import { Card } from "../../components/Card";
import { strings } from "../../strings";
import { measured, type Rules } from "./rules";

/** What is asked of recordings: in five sentences, and with every bound for whoever wants them. */
export function RulesCard({ rules }: { rules: Rules }) {
  const t = strings.value.voiceData;
  return (
    <Card title={t.rulesTitle}>
      <ul class="asked">
        {t.asked.map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
      <details>
        <summary>{t.bounds}</summary>
        <div class="bounds" role="region" aria-label={t.bounds} tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">{t.bound.rule}</th>
                <th scope="col">{t.bound.warning}</th>
                <th scope="col">{t.bound.refusal}</th>
                <th scope="col">{t.bound.source}</th>
              </tr>
            </thead>
            <tbody>
              {rules.rules.map(({ name, measurement, unit, side, warn, refuse, source }) => (
                <tr key={name}>
                  <th scope="row">{t.rules[name as keyof typeof t.rules]?.name ?? name}</th>
                  {[warn, refuse].map((bound) => (
                    <td class="figures">{bound !== null && `${side === "at_least" ? "<" : ">"} ${measured(measurement, bound, unit)}`}</td>
                  ))}
                  <td lang="en" class="small muted">
                    {source}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </Card>
  );
}
