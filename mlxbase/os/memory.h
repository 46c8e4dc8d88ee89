#pragma once
// What the allocator keeps for itself. Matters to a program that runs many threads for a moment and holds a large result afterwards.

namespace mlxbase::os {

/// Lets threads share at most `arenas` heaps: a thread's own one keeps what it freed from all others. Call before threads start. Does nothing where the
/// allocator has no such thing.
void share_heaps(unsigned arenas);
/// Gives freed memory back to the system: after a step that needed much for a short time.
void give_memory_back();

}  // namespace mlxbase::os
