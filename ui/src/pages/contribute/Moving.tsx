import { Progress } from "../../components/Progress";
import { bytes, percent, timeLeft } from "../../format";
import { strings } from "../../strings";
import { progress } from "./contribution";

/** How far the contribution's present step is, how fast, and how long it still takes. */
export function Moving({ label }: { label: string }) {
  const t = strings.value.contribute.sending;
  const { done, total, perSecond } = progress.value;
  const figures = [
    percent(total ? done / total : 0),
    t.figures(bytes(done), bytes(total)),
    ...(perSecond ? [t.speed(bytes(perSecond)), timeLeft((total - done) / perSecond)] : []),
  ];
  return (
    <Progress label={label} done={done} total={total}>
      {figures.join(" · ")}
    </Progress>
  );
}
