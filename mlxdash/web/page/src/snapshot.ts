// docs/formats/dash.md, as types. What is missing is null, and `absent` says why by its path.

export interface Process { pid: number; name: string; anonymous: number | null; file: number | null; resident: number | null; cpu: number | null }
export interface LoadedModel { name: string; format: string; state: string; bytes: number | null; gpu_bytes: number | null; context: number | null; expires_in: number | "never" | null }
export interface Engine {
  kind: string; url: string; version: string; state: string; why: string;
  process: Process | null; models: LoadedModel[] | null; models_known: number | null;
  running: number | null; waiting: number | null; decode: number | null; prefill: number | null; kv_used: number | null; prefix_hits: number | null;
  first_token_p50: number | null; first_token_p95: number | null; tokens_total: number | null;
}
export interface Gpu { name: string; id: string; busy: number | null; memory_total: number | null; memory_used: number | null; celsius: number | null; watts: number | null }
export interface Store { kind: string; root: string; models: number; bytes: number; orphans: number; orphan_bytes: number; downloads: number; download_bytes: number; problems: number }
export interface StoredModel { store: string; name: string; format: string; bytes: number; incomplete: boolean }
export interface Snapshot {
  schema: string; wall_ns: number; host: string;
  cpu: { busy: number | null; cores: number[] | null; load1: number | null };
  memory: { total: number | null; used: number | null; swap_total: number | null; swap_used: number | null };
  memory_pressure: { full10: number | null };
  disks: { name: string; read: number | null; written: number | null; busy: number | null }[] | null;
  volumes: { mount: string; type: string; total: number | null; free: number | null }[] | null;
  networks: { name: string; received: number | null; sent: number | null }[] | null;
  sensors: { chip: string; label: string; celsius: number | null; limit: number | null }[] | null;
  powers: { name: string; watts: number | null }[] | null;
  gpus: Gpu[] | null;
  engines: Engine[] | null;
  holders: { pid: number; name: string; files: string[]; resident: number | null }[] | null;
  cache: { stores: Store[]; largest: StoredModel[]; bytes: number; duplicate_bytes: number } | null;
  sources: { name: string; state: string; message: string; age: number; cost: number }[];
  findings: { cause: string; severity: "note" | "warning" | "alarm"; text: string }[];
  joules_per_token: number | null;
  absent: Record<string, string>;
}
