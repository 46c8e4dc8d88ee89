// From a snapshot to what the page says: pure, so that it is tested without a browser.
import type { Engine, Snapshot } from "./snapshot.ts";

/** A value as a person reads it, or why there is none. */
export interface Shown { text: string; why?: string; share?: number }
export interface Line { name: string; value: Shown; remark?: string }
export interface Panel { id: string; title: string; lines: Line[]; missing?: string }
export interface ModelRow { name: string; format: string; state: string; memory: Shown; gpu: Shown; context: Shown; expires: Shown }
export interface EngineCard { key: string; title: string; where: string; state: string; why: string; lines: Line[]; models: ModelRow[]; modelsMissing?: string }

const REASONS: Record<string, string> = {
  not_yet: "not yet known", not_supported: "not offered here", not_permitted: "not permitted", no_answer: "no answer", malformed: "unreadable answer", gone: "gone",
};
export const reason = (why: string | undefined): string => (why && REASONS[why]) || why || "not known";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
export function bytes(value: number): string {
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${UNITS[unit]}`;
}
export const percent = (share: number): string => `${(share * 100).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;
export function duration(seconds: number): string {
  if (seconds < 1) return `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(0)} h` : `${(seconds / 86400).toFixed(0)} d`;
}
const number = (value: number): string => (value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1));

/** Reads values by path, so that a missing one finds its reason. */
class Reader {
  constructor(private readonly absent: Record<string, string>) {}
  show<T>(value: T | null | undefined, path: string, as: (value: T) => string): Shown {
    if (value === null || value === undefined) return { text: "–", why: reason(this.absent[path]) };
    return { text: as(value) };
  }
  share(value: number | null | undefined, path: string): Shown {
    const shown = this.show(value, path, percent);
    return value === null || value === undefined ? shown : { ...shown, share: Math.min(Math.max(value, 0), 1) };
  }
  of(used: number | null, total: number | null, path: string): Shown {
    if (used === null || total === null) return { text: "–", why: reason(this.absent[path]) };
    return { text: `${bytes(used)} of ${bytes(total)}`, share: total > 0 ? Math.min(used / total, 1) : 0 };
  }
}

const rate = (value: number): string => `${bytes(value)}/s`;
/** "not offered here" for every value that it says nothing of would drown the rest: such lines are left to the details. */
const told = (lines: Line[]): Line[] => lines.filter((line) => line.value.why !== REASONS["not_supported"]);

export function machine(s: Snapshot): Panel {
  const r = new Reader(s.absent);
  const lines: Line[] = [
    { name: "Processor", value: r.share(s.cpu.busy, "cpu.busy"), remark: s.cpu.load1 === null ? undefined : `load ${s.cpu.load1.toFixed(2)}` },
    { name: "Memory", value: r.of(s.memory.used, s.memory.total, s.memory.used === null ? "memory.used" : "memory.total") },
  ];
  if (s.memory.swap_total !== 0) lines.push({ name: "Swap", value: r.of(s.memory.swap_used, s.memory.swap_total, "memory.swap_used") });
  lines.push({ name: "Waits for memory", value: r.share(s.memory_pressure.full10, "memory_pressure.full10") });
  if (s.gpus === null) lines.push({ name: "GPU", value: { text: "–", why: reason(s.absent["gpus"]) } });
  s.gpus?.forEach((gpu, i) => {
    lines.push({ name: gpu.name || gpu.id, value: r.share(gpu.busy, `gpus[${i}].busy`), remark: gpu.celsius === null ? undefined : `${gpu.celsius.toFixed(0)} °C` });
    lines.push({ name: "its memory", value: r.of(gpu.memory_used, gpu.memory_total, `gpus[${i}].memory_used`) });
    lines.push({ name: "its power", value: r.show(gpu.watts, `gpus[${i}].watts`, (w) => `${w.toFixed(0)} W`) });
  });
  if (s.powers === null) lines.push({ name: "Power", value: { text: "–", why: reason(s.absent["powers"]) } });
  s.powers?.forEach((power, i) => lines.push({ name: `Power, ${power.name}`, value: r.show(power.watts, `powers[${i}].watts`, (w) => `${w.toFixed(1)} W`) }));
  lines.push({ name: "Energy a token", value: r.show(s.joules_per_token, "joules_per_token", (j) => `${j.toFixed(2)} J`) });
  return { id: "machine", title: "Machine", lines };
}

export function traffic(s: Snapshot): Panel {
  const r = new Reader(s.absent);
  const lines: Line[] = [];
  s.disks?.forEach((disk, i) => lines.push({ name: `Disk ${disk.name}`, value: r.show(disk.read, `disks[${i}].read`, (v) => `read ${rate(v)}`), remark: disk.written === null ? undefined : `written ${rate(disk.written)}` }));
  s.networks?.forEach((net, i) => lines.push({ name: `Network ${net.name}`, value: r.show(net.received, `networks[${i}].received`, (v) => `in ${rate(v)}`), remark: net.sent === null ? undefined : `out ${rate(net.sent)}` }));
  s.volumes?.forEach((v, i) => lines.push({ name: `Volume ${v.mount}`, value: r.of(v.total === null || v.free === null ? null : v.total - v.free, v.total, `volumes[${i}].total`) }));
  for (const [name, list] of [["Disks", s.disks], ["Networks", s.networks], ["Volumes", s.volumes]] as const) {
    if (list === null) lines.push({ name, value: { text: "–", why: reason(s.absent[name.toLowerCase()]) } });
  }
  return { id: "traffic", title: "Disks and network", lines };
}

export function stores(s: Snapshot): Panel {
  if (s.cache === null) return { id: "stores", title: "Model stores", lines: [], missing: reason(s.absent["cache"]) };
  const lines: Line[] = [
    { name: "In all", value: { text: bytes(s.cache.bytes) } },
    { name: "Stored twice", value: { text: bytes(s.cache.duplicate_bytes) }, remark: s.cache.duplicate_bytes > 0 ? "mlxcache dedup shares it" : undefined },
  ];
  for (const store of s.cache.stores) {
    const more = [`${store.models} ${store.models === 1 ? "model" : "models"}`];
    if (store.downloads > 0) more.push(`${store.downloads} unfinished, ${bytes(store.download_bytes)}`);
    if (store.orphans > 0) more.push(`${store.orphans} left over, ${bytes(store.orphan_bytes)}`);
    if (store.problems > 0) more.push(`${store.problems} unreadable`);
    lines.push({ name: store.kind, value: { text: bytes(store.bytes) }, remark: more.join(", ") });
  }
  return { id: "stores", title: "Model stores", lines };
}

export function engine(e: Engine, i: number, absent: Record<string, string>): EngineCard {
  const r = new Reader(absent);
  const at = `engines[${i}]`;
  const lines = told([
    { name: "Generates", value: r.show(e.decode, `${at}.decode`, (v) => `${number(v)} tokens/s`) },
    { name: "Reads prompts", value: r.show(e.prefill, `${at}.prefill`, (v) => `${number(v)} tokens/s`) },
    { name: "First token", value: r.show(e.first_token_p50, `${at}.first_token_p50`, duration), remark: e.first_token_p95 === null ? undefined : `95 %: ${duration(e.first_token_p95)}` },
    { name: "Requests", value: r.show(e.running, `${at}.running`, (v) => `${number(v)} running`), remark: e.waiting === null ? undefined : `${number(e.waiting)} waiting` },
    { name: "KV cache", value: r.share(e.kv_used, `${at}.kv_used`) },
    { name: "Known beginnings", value: r.share(e.prefix_hits, `${at}.prefix_hits`) },
    { name: "Memory", value: r.show(e.process?.resident ?? null, e.process === null ? `${at}.process` : `${at}.process.resident`, bytes), remark: e.process?.cpu == null ? undefined : `${e.process.cpu.toFixed(1)} cores` },
    { name: "Models it could load", value: r.show(e.models_known, `${at}.models_known`, number) },
  ]);
  const models = (e.models ?? []).map((m, k): ModelRow => ({
    name: m.name, format: m.format, state: m.state,
    memory: r.show(m.bytes, `${at}.models[${k}].bytes`, bytes),
    gpu: m.bytes !== null && m.gpu_bytes !== null && m.bytes > 0 ? { text: percent(m.gpu_bytes / m.bytes) } : r.show(m.gpu_bytes, `${at}.models[${k}].gpu_bytes`, bytes),
    context: r.show(m.context, `${at}.models[${k}].context`, (v) => `${v.toLocaleString("en")}`),
    expires: m.expires_in === "never" ? { text: "stays" } : r.show(m.expires_in, `${at}.models[${k}].expires_in`, (v) => `in ${duration(v)}`),
  }));
  return {
    key: e.url, title: e.kind || "server", where: e.url.replace(/^https?:\/\//, ""), state: e.state, why: e.why, lines, models,
    modelsMissing: e.models === null ? reason(absent[`${at}.models`]) : undefined,
  };
}
export const engines = (s: Snapshot): EngineCard[] => (s.engines ?? []).map((e, i) => engine(e, i, s.absent));

/** One short sentence for those who listen: only what changes seldom. */
export function spoken(s: Snapshot): string {
  const loaded = (s.engines ?? []).reduce((n, e) => n + (e.models?.length ?? 0), 0);
  const alarms = s.findings.filter((f) => f.severity !== "note").map((f) => f.text);
  const up = (s.engines ?? []).filter((e) => e.state === "up").length;
  return [`${up} ${up === 1 ? "server" : "servers"} up, ${loaded} ${loaded === 1 ? "model" : "models"} loaded`, ...alarms].join(". ");
}
