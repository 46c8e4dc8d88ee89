// The values that have a chart, and their points: history first, then what comes live. Pure.
import type { Snapshot } from "./snapshot.ts";

export interface ChartSpec { id: string; title: string; series: string[]; unit: "ratio" | "bytes/s" | "tokens/s"; of: (s: Snapshot) => number | null }

const sum = (values: (number | null)[] | undefined): number | null => {
  if (!values || values.length === 0 || values.some((v) => v === null)) return null;
  return (values as number[]).reduce((a, b) => a + b, 0);
};
/** What some servers do not tell does not hide what others do. */
const sumOfKnown = (values: (number | null)[] | undefined): number | null => sum(values?.filter((v) => v !== null));

export const CHARTS: ChartSpec[] = [
  { id: "decode", title: "Tokens generated", series: ["mlxdash_engine_decode_tokens_per_second"], unit: "tokens/s", of: (s) => sumOfKnown(s.engines?.map((e) => e.decode)) },
  { id: "memory", title: "Memory used", series: ["mlxdash_memory_used_bytes"], unit: "ratio", of: (s) => (s.memory.used !== null && s.memory.total ? s.memory.used / s.memory.total : null) },
  { id: "cpu", title: "Processor", series: ["mlxdash_cpu_busy_ratio"], unit: "ratio", of: (s) => s.cpu.busy },
  { id: "read", title: "Read from disk", series: ["mlxdash_disk_read_bytes_per_second"], unit: "bytes/s", of: (s) => sum(s.disks?.map((d) => d.read)) },
];

export type Point = [t: number, value: number | null];
export const KEEP = 3600;

/** Adds a live point; forgets what is older than `seconds`; marks a pause of the source as a gap. */
export function extended(points: readonly Point[], t: number, value: number | null, seconds = KEEP): Point[] {
  const last = points[points.length - 1];
  const kept = points.filter(([when]) => when > t - seconds && when < t);
  if (last && t - last[0] > 30 && last[1] !== null) kept.push([t - 1, null]);
  kept.push([t, value]);
  return kept;
}

/** Several series (one a disk, one a server) become their sum, second by second. */
export function summed(series: { points: [number, number, number, number][] }[], scale = 1): Point[] {
  const at = new Map<number, number>();
  for (const one of series) for (const [t, mean] of one.points) at.set(t, (at.get(t) ?? 0) + mean * scale);
  const sorted = [...at].sort((a, b) => a[0] - b[0]);
  const out: Point[] = [];
  sorted.forEach(([t, value], i) => {
    const before = sorted[i - 1];
    if (before && t - before[0] > 30) out.push([before[0] + 1, null]);
    out.push([t, value]);
  });
  return out;
}
