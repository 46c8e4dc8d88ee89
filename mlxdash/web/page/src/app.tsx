import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Chart } from "./chart.tsx";
import { CHARTS, extended, summed, type Point } from "./charts.ts";
import { ask, watch, type State } from "./live.ts";
import { engines, machine, reason, spoken, stores, traffic, bytes, duration, type EngineCard, type Line, type Panel, type Shown } from "./model.ts";
import type { Snapshot } from "./snapshot.ts";

const STATES: Record<State, string> = { connecting: "connecting", live: "live", lost: "lost: the values below are old", locked: "a key is needed", hidden: "paused" };
const RANGES = { "5m": "5 minutes", "1h": "1 hour", "12h": "12 hours", "7d": "7 days", "60d": "60 days" } as const;
type Range = keyof typeof RANGES;
const SECONDS: Record<Range, number> = { "5m": 300, "1h": 3600, "12h": 43200, "7d": 604800, "60d": 5184000 };

function Value({ value }: { value: Shown }) {
  if (value.why) return <span class="why" title={value.why}>{value.text} <span>{value.why}</span></span>;
  return (
    <span class="value">
      {value.text}
      {value.share !== undefined && <meter min={0} max={1} high={0.9} optimum={0} value={value.share} aria-hidden="true" />}
    </span>
  );
}

function Lines({ lines }: { lines: Line[] }) {
  return (
    <dl>
      {lines.map((line) => (
        <div key={line.name}>
          <dt>{line.name}</dt>
          <dd><Value value={line.value} />{line.remark && <small>{line.remark}</small>}</dd>
        </div>
      ))}
    </dl>
  );
}

function PanelView({ panel }: { panel: Panel }) {
  return (
    <section class="panel" aria-labelledby={`p-${panel.id}`}>
      <h2 id={`p-${panel.id}`}>{panel.title}</h2>
      {panel.missing ? <p class="why">– {panel.missing}</p> : <Lines lines={panel.lines} />}
    </section>
  );
}

function EngineView({ card }: { card: EngineCard }) {
  const id = `e-${card.key.replace(/\W/g, "-")}`;
  return (
    <section class="panel engine" aria-labelledby={id}>
      <h3 id={id}>{card.title} <span class="where">{card.where}</span> <span class={`state ${card.state}`}>{card.state}</span></h3>
      {card.why && <p class="why">{card.why}</p>}
      {card.models.length > 0 && (
        <div class="table" role="region" aria-label={`Models loaded in ${card.title} at ${card.where}`} tabIndex={0}>
          <table>
            <thead><tr><th scope="col">Model</th><th scope="col">Memory</th><th scope="col">On the GPU</th><th scope="col">Context</th><th scope="col">Leaves</th></tr></thead>
            <tbody>
              {card.models.map((m) => (
                <tr key={m.name}>
                  <th scope="row">{m.name}<small>{[m.format, m.state !== "loaded" && m.state].filter(Boolean).join(", ")}</small></th>
                  <td><Value value={m.memory} /></td><td><Value value={m.gpu} /></td><td><Value value={m.context} /></td><td><Value value={m.expires} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {card.models.length === 0 && <p class="why">{card.modelsMissing ? `loaded models: ${card.modelsMissing}` : "no model is loaded"}</p>}
      <Lines lines={card.lines} />
    </section>
  );
}

function KeyForm({ enter, wrong }: { enter: (key: string) => void; wrong: boolean }) {
  const [key, setKey] = useState("");
  return (
    <form class="panel" onSubmit={(event) => { event.preventDefault(); enter(key.trim()); }}>
      <h2>A key is needed</h2>
      <label for="key">The key that this mlxdash was started with</label>
      <input id="key" type="password" autocomplete="off" value={key} onInput={(event) => setKey(event.currentTarget.value)} aria-describedby={wrong ? "wrong" : undefined} />
      <button type="submit">Show</button>
      {wrong && <p id="wrong" role="alert">That key was refused.</p>}
    </form>
  );
}

/** The key of the address (#key=…), which a server never sees, else of this tab. */
function keyOfTab(): string {
  const found = /^#key=(.+)$/.exec(location.hash);
  if (found?.[1]) {
    sessionStorage.setItem("mlxdash-key", decodeURIComponent(found[1]));
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("mlxdash-key") ?? "";
}

function useTheme(): [string, () => void] {
  const dark = useMemo(() => matchMedia("(prefers-color-scheme: dark)"), []);
  const [theme, setTheme] = useState(localStorage.getItem("mlxdash-theme") ?? (dark.matches ? "dark" : "light"));
  useEffect(() => {
    const follow = (): void => { if (!localStorage.getItem("mlxdash-theme")) setTheme(dark.matches ? "dark" : "light"); };
    dark.addEventListener("change", follow);
    return () => dark.removeEventListener("change", follow);
  }, []);
  document.documentElement.dataset["theme"] = theme;
  return [theme, () => { const other = theme === "dark" ? "light" : "dark"; localStorage.setItem("mlxdash-theme", other); setTheme(other); }];
}

interface Kept { series: { key: string; points: [number, number, number, number][] }[] }

/** What was kept, for each chart, over the range. */
async function load(key: string, range: Range, total: number): Promise<Record<string, Point[]>> {
  const names = (await ask<Kept>("api/history", key))?.series.map((s) => s.key) ?? [];
  const wanted = CHARTS.map((chart) => names.filter((name) => chart.series.some((s) => name === s || name.startsWith(`${s}{`))));
  const keys = wanted.flat().slice(0, 64);
  const out: Record<string, Point[]> = {};
  if (keys.length === 0) return out;
  const found = await ask<Kept>(`api/history?since=${range}&${keys.map((k) => `series=${encodeURIComponent(k)}`).join("&")}`, key);
  CHARTS.forEach((chart, i) => {
    const own = found?.series.filter((s) => wanted[i]!.includes(s.key)) ?? [];
    out[chart.id] = summed(own, chart.id === "memory" && total > 0 ? 1 / total : 1);
  });
  return out;
}

export function App() {
  const [theme, turn] = useTheme();
  const [key, setKey] = useState(keyOfTab);
  const [tried, setTried] = useState(false);
  const [state, setState] = useState<State>("connecting");
  const [snapshot, setSnapshot] = useState<Snapshot | null>(null);
  const [range, setRange] = useState<Range>("5m");
  const [points, setPoints] = useState<Record<string, readonly Point[]>>({});
  const total = snapshot?.memory.total ?? 0;
  const ready = snapshot !== null;
  const rangeNow = useRef(range);
  rangeNow.current = range;

  useEffect(() => watch(key, {
    state: setState,
    snapshot: (s) => {
      setSnapshot(s);
      setPoints((before) => Object.fromEntries(CHARTS.map((c) => [c.id, extended(before[c.id] ?? [], Math.round(s.wall_ns / 1e9), c.of(s), SECONDS[rangeNow.current])])));
    },
  }), [key]);
  useEffect(() => {
    if (!ready || state !== "live") return;
    let current = true;
    void load(key, range, total).then((loaded) => {
      if (!current) return;
      setPoints((live) => Object.fromEntries(CHARTS.map((c) => {
        const kept = loaded[c.id] ?? [];
        const end = kept[kept.length - 1]?.[0] ?? 0;
        return [c.id, [...kept, ...(live[c.id] ?? []).filter((p) => p[0] > end)]];
      })));
    });
    return () => { current = false; };
  }, [key, range, ready, state === "live"]);
  useEffect(() => { document.title = snapshot ? `${snapshot.host} · mlxdash` : "mlxdash"; }, [snapshot?.host]);

  const say = snapshot && state === "live" ? spoken(snapshot) : STATES[state];
  return (
    <>
      <a class="skip" href="#main">To the values</a>
      <header>
        <h1>mlxdash {snapshot && <span>{snapshot.host}</span>}</h1>
        <p class={`state ${state}`}>{STATES[state]}</p>
        <button type="button" onClick={turn} aria-pressed={theme === "dark"}>Dark</button>
      </header>
      <p class="spoken" role="status">{say}</p>
      <main id="main" tabIndex={-1}>
        {state === "locked" && <KeyForm wrong={tried || key !== ""} enter={(k) => { sessionStorage.setItem("mlxdash-key", k); setTried(true); setState("connecting"); setKey(k); }} />}
        {!snapshot && state !== "locked" && <p>{STATES[state]}…</p>}
        {snapshot && state !== "locked" && (
          <>
            {snapshot.findings.length > 0 && (
              <section class="panel findings" aria-labelledby="p-findings">
                <h2 id="p-findings">Why it may be slow, and what comes</h2>
                <ul>{snapshot.findings.map((f) => <li key={f.cause + f.text} class={f.severity}><b>{f.severity}</b> {f.text}</li>)}</ul>
              </section>
            )}
            <section aria-labelledby="p-engines">
              <h2 id="p-engines">Servers of models</h2>
              <div class="cards">
                {engines(snapshot).map((card) => <EngineView key={card.key} card={card} />)}
              </div>
              {snapshot.engines === null && <p class="why">– {reason(snapshot.absent["engines"])}</p>}
              {snapshot.engines?.length === 0 && <p class="why">No server of models listens here.</p>}
            </section>
            <section aria-labelledby="p-charts">
              <div class="row">
                <h2 id="p-charts">Over time</h2>
                <label>The last <select value={range} onChange={(event) => setRange(event.currentTarget.value as Range)}>
                  {Object.entries(RANGES).map(([value, text]) => <option key={value} value={value}>{text}</option>)}
                </select></label>
              </div>
              <div class="cards charts">{CHARTS.map((c) => <Chart key={c.id} title={c.title} unit={c.unit} points={points[c.id] ?? []} theme={theme} />)}</div>
            </section>
            <div class="cards">
              <PanelView panel={machine(snapshot)} />
              <PanelView panel={stores(snapshot)} />
              <PanelView panel={traffic(snapshot)} />
            </div>
            {snapshot.cache && snapshot.cache.largest.length > 0 && (
              <section class="panel" aria-labelledby="p-largest">
                <h2 id="p-largest">Largest models on disk</h2>
                <ul>{snapshot.cache.largest.map((m) => <li key={m.store + m.name}>{m.name} <span class="value">{bytes(m.bytes)}</span> <small>{[m.store, m.format, m.incomplete && "incomplete"].filter(Boolean).join(", ")}</small></li>)}</ul>
              </section>
            )}
            {snapshot.holders && snapshot.holders.length > 0 && (
              <section class="panel" aria-labelledby="p-holders">
                <h2 id="p-holders">Processes with model files</h2>
                <ul>{snapshot.holders.map((h) => <li key={h.pid}>{h.name} <small>{h.pid}: {h.files.join(", ")}</small></li>)}</ul>
              </section>
            )}
            <details class="panel">
              <summary>Where the values come from</summary>
              <div class="table" role="region" aria-label="Where the values come from" tabIndex={0}>
                <table>
                  <thead><tr><th scope="col">Source</th><th scope="col">State</th><th scope="col">Age</th><th scope="col">Cost of a look</th></tr></thead>
                  <tbody>{snapshot.sources.map((s) => (
                    <tr key={s.name}><th scope="row">{s.name}</th><td>{s.state}{s.message && <small>{s.message}</small>}</td><td>{s.state === "ok" ? duration(s.age) : "–"}</td><td>{duration(s.cost)}</td></tr>
                  ))}</tbody>
                </table>
              </div>
            </details>
          </>
        )}
      </main>
      <footer>It looks and changes nothing. Prompts are never read.</footer>
    </>
  );
}
