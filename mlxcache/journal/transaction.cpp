#include "mlxcache/journal/transaction.h"

namespace mlxcache::journal {

std::string Step::digest() const {
  if (settled && !settled->digest.empty()) return settled->digest;
  if (staged && !staged->digest.empty()) return staged->digest;
  return {};
}

Closed Transaction::closing(std::int64_t now_ns, bool was_cut) const {
  Closed c;
  c.time_ns = now_ns;
  std::uint64_t undone = 0;
  for (const auto& [index, step] : steps) {
    if (!step.intent || !step.done() || step.emptied) continue;
    if (step.undone()) {
      ++undone;
    } else {
      ++c.actions;
      c.bytes_freed += step.intent->bytes;
    }
  }
  if (undone > 0) {
    c.state = c.actions == 0 ? State::undone : State::partly_undone;
  } else {
    c.state = was_cut ? State::recovered : State::complete;
  }
  return c;
}

namespace {

struct Folder {
  Transaction& t;

  void operator()(const Begin& b) { t.begin = b; }
  void operator()(const Intent& i) {
    Step& step = t.steps[i.index];
    step = Step{};
    step.intent = i;
  }
  void operator()(const Staged& s) {
    Step& step = t.steps[s.index];
    (s.undo ? step.undo_staged : step.staged) = s;
  }
  void operator()(const Settled& s) {
    Step& step = t.steps[s.index];
    if (s.outcome == Outcome::emptied) {
      step.emptied = true;
      return;
    }
    const bool undo = s.outcome == Outcome::undone || s.outcome == Outcome::undo_refused;
    (undo ? step.undo_settled : step.settled) = s;
  }
  void operator()(const UndoBegin&) {
    t.undo_began = true;
    // What an earlier undo settled is no business of this one's recovery.
    for (auto& [index, step] : t.steps) {
      if (step.undo_settled) step.undo_intent.reset();
      if (!step.undone()) step.undo_settled.reset();
    }
  }
  void operator()(const UndoIntent& u) {
    Step& step = t.steps[u.index];
    step.undo_intent = u;
    step.undo_staged.reset();
    step.undo_settled.reset();
  }
  void operator()(const Closed& c) {
    t.closed = c;
    t.was_closed = true;
    // At rest nothing lies under a temporary name: a later undo plans anew.
    for (auto& [index, step] : t.steps) {
      step.undo_intent.reset();
      step.undo_staged.reset();
    }
  }
};

}  // namespace

bool changes_names(const Transaction& t) { return !t.steps.empty() && t.steps.begin()->second.intent->method >= kFirstNameMethod; }

Transaction fold(const Contents& contents) {
  Transaction t;
  t.damage = contents.damage;
  for (const Record& record : contents.records) {
    t.closed.reset();
    std::visit(Folder{t}, record);
  }
  // Without its intent a step says nothing that could be acted on.
  std::erase_if(t.steps, [](const auto& entry) { return !entry.second.intent; });
  return t;
}

}  // namespace mlxcache::journal
