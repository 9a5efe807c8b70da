import { Empty } from "../components/Empty";
import { Title } from "../components/Title";
import { strings } from "../strings";

export function NotFound() {
  const t = strings.value.notFound;
  return (
    <>
      <Title>{t.title}</Title>
      <Empty action={<a href="/">{t.home}</a>}>{t.text}</Empty>
    </>
  );
}
