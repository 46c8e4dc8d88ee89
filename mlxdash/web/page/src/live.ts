// Server-sent events by fetch, since EventSource cannot send a key. While the page is hidden nothing is asked for, so nothing is measured for it.
import type { Snapshot } from "./snapshot.ts";

export type State = "connecting" | "live" | "lost" | "locked" | "hidden";

/** Takes bytes as they come and gives the data of each whole event. */
export class Events {
  private rest = "";
  feed(text: string): { event: string; data: string }[] {
    this.rest += text;
    const blocks = this.rest.split("\n\n");
    this.rest = blocks.pop() ?? "";
    const out: { event: string; data: string }[] = [];
    for (const block of blocks) {
      let event = "message";
      const data: string[] = [];
      for (const line of block.split("\n")) {
        if (line.startsWith("event: ")) event = line.slice(7);
        if (line.startsWith("data: ")) data.push(line.slice(6));
      }
      if (data.length > 0) out.push({ event, data: data.join("\n") });
    }
    return out;
  }
}

const headers = (key: string): HeadersInit => (key ? { Authorization: `Bearer ${key}` } : {});

export async function ask<T>(path: string, key: string): Promise<T | null> {
  try {
    const reply = await fetch(path, { headers: headers(key), cache: "no-store" });
    return reply.ok ? ((await reply.json()) as T) : null;
  } catch {
    return null;
  }
}

/** Watches until `stop()`; comes back by itself after a break, ever more slowly up to 15 s. */
export function watch(key: string, on: { snapshot: (s: Snapshot) => void; state: (state: State) => void }): () => void {
  let stopped = false;
  let abort = new AbortController();
  let wake: (() => void) | null = null;
  const shown = (): void => {
    if (document.hidden) abort.abort();
    wake?.();
  };
  document.addEventListener("visibilitychange", shown);
  const run = async (): Promise<void> => {
    for (let wait = 1000; !stopped; ) {
      if (document.hidden) {
        on.state("hidden");
        await new Promise<void>((resolve) => { wake = resolve; });
        continue;
      }
      abort = new AbortController();
      try {
        const reply = await fetch("api/live", { headers: headers(key), cache: "no-store", signal: abort.signal });
        if (reply.status === 401) { on.state("locked"); return; }
        if (reply.ok && reply.body) {
          const events = new Events();
          const decoder = new TextDecoder();
          const reader = reply.body.getReader();
          for (;;) {
            const { done, value } = await reader.read();
            if (done) break;
            for (const { event, data } of events.feed(decoder.decode(value, { stream: true }))) {
              if (event !== "snapshot") continue;
              wait = 1000;
              on.state("live");
              on.snapshot(JSON.parse(data) as Snapshot);
            }
          }
        }
      } catch {
        // told below
      }
      if (stopped || document.hidden) continue;
      on.state("lost");
      await new Promise<void>((resolve) => { wake = resolve; setTimeout(resolve, wait); });
      wait = Math.min(wait * 2, 15000);
    }
  };
  void run();
  return () => {
    stopped = true;
    document.removeEventListener("visibilitychange", shown);
    abort.abort();
    wake?.();
  };
}
