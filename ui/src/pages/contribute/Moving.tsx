import { Progress } from "../../components/Progress";
import { bytes, percent, timeLeft } from "../../format";
import { strings } from "../../strings";
import { progress } from "./contribution";

/** How far the contribution's present step is, how fast, and how long it still takes. `unit`: what it counts. */
export function Moving({ label, unit = "bytes" }: { label: string; unit?: "bytes" | "sentences" }) {
  const t = strings.value.contribute.sending;
  const { done, total, perSecond } = progress.value;
  const shown = unit === "bytes" ? bytes : String;
  const figures = [
    percent(total ? done / total : 0),
    t.figures(shown(done), shown(total)),
    ...(perSecond && unit === "bytes" ? [t.speed(bytes(perSecond))] : []),
    ...(perSecond ? [timeLeft((total - done) / perSecond)] : []),
  ];
  return (
    <Progress label={label} done={done} total={total}>
      {figures.join(" · ")}
    </Progress>
  );
}
