// uPlot in a component: made once, fed with each new point, made anew where the colours change.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Point } from "./charts.ts";
import { bytes, percent } from "./model.ts";

export function format(value: number, unit: string): string {
  if (unit === "ratio") return percent(value);
  if (unit === "bytes/s") return `${bytes(value)}/s`;
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${unit}`;
}

/** As fine as the span of the axis asks for. */
function moment(t: number, span: number): string {
  const date = new Date(t * 1000);
  if (span > 2 * 86400) return date.toLocaleDateString([], { day: "numeric", month: "short" });
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(span < 600 ? { second: "2-digit" } : {}) });
}

function options(width: number, unit: string): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return {
    width, height: 132, cursor: { y: false }, legend: { show: false }, padding: [8, 8, 0, 0],
    scales: { y: { range: (_u, _low, high) => [0, unit === "ratio" ? 1 : high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, size: 26, space: 80, values: (_u, splits) => splits.map((t) => moment(t, (splits[splits.length - 1] ?? t) - (splits[0] ?? t))) },
      { ...axis, size: 70, space: 30, values: (_u, splits) => splits.map((v) => format(v, unit === "tokens/s" ? "" : unit).trim()) },
    ],
    series: [{}, { stroke: colour("--accent"), width: 1.5, fill: colour("--accent-fill"), points: { show: false } }],
  };
}

export function Chart({ title, unit, points, theme }: { title: string; unit: string; points: readonly Point[]; theme: string }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = (): uPlot.AlignedData => [points.map((p) => p[0]), points.map((p) => p[1])];
  useEffect(() => {
    const holder = box.current!;
    plot.current = new uPlot(options(holder.clientWidth || 300, unit), data(), holder);
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: holder.clientWidth, height: 132 }));
    sizes.observe(holder);
    return () => { sizes.disconnect(); plot.current?.destroy(); plot.current = null; };
  }, [unit, theme]);
  useEffect(() => plot.current?.setData(data()), [points]);
  const values = points.flatMap((p) => (p[1] === null ? [] : [p[1]]));
  const last = points[points.length - 1]?.[1] ?? null;
  const summary = values.length === 0 ? "nothing measured" : `least ${format(Math.min(...values), unit)}, greatest ${format(Math.max(...values), unit)}`;
  return (
    <section class="chart" aria-label={title}>
      <h3><span>{title}</span> <span class="value">{last === null ? "–" : format(last, unit)}</span></h3>
      <div ref={box} role="img" aria-label={summary} />
      {values.length === 0 && <p class="why">nothing measured in this time</p>}
    </section>
  );
}
