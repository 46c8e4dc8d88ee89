// A process that ends by _exit at the n-th call of its file system, on real files: no destructor runs, nothing is closed.
//   kill_driver <folder> <what> <method> <n>     what: apply, undo, recover
// Exit codes: 77 killed, 0 ran to its end, 1 an error.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mlxbase/testing/fake_clock.h"
#include "mlxbase/testing/hooked_file_system.h"
#include "mlxcache/dedup/apply.h"

int main(int argc, char** argv) {
  namespace os = mlxbase::os;
  using namespace mlxcache;
  if (argc != 5) return 2;
  const std::string folder = argv[1];
  const std::string_view what = argv[2];
  const auto method = static_cast<dedup::Method>(std::atoi(argv[3]));
  const auto n = std::strtoull(argv[4], nullptr, 10);
  mlxbase::testing::HookedFileSystem fs(os::real_file_system(), [n](const mlxbase::testing::Call& call) -> mlxbase::Status {
    if (call.index == n) ::_exit(77);
    return {};
  });
  const os::Environment environment;
  const stores::Context context{fs, environment, nullptr};
  const std::string home = folder + "/home";
  mlxbase::testing::FakeClock clock;
  const dedup::Machinery machinery{context, home, clock, mlxbase::no_progress(), nullptr, "dedup --apply"};
  const auto failed = [](const mlxbase::Error& e) {
    std::fprintf(stderr, "%s\n", e.message.c_str());
    return 1;
  };
  if (what == "undo") {
    const auto undone = dedup::undo(machinery, "");
    return undone || undone.error().code == mlxbase::Code::not_found ? 0 : failed(undone.error());
  }
  if (what == "recover") {
    const auto recovered = dedup::recover(machinery);
    return recovered ? 0 : failed(recovered.error());
  }
  dedup::Plan plan;
  for (const char* name : {"/b/one", "/b/two", "/c/three"}) {
    dedup::Action a;
    a.method = method;
    a.source = folder + "/a/source";
    a.target = folder + name;
    a.source_root = {catalog::StoreKind::loose, folder + "/a", "--root"};
    a.target_root = {catalog::StoreKind::loose, folder + std::string(name, 2), "--root"};
    const auto source = os::real_file_system().stat(a.source);
    const auto target = os::real_file_system().stat(a.target);
    if (!source || !target) return 1;
    a.source_state = catalog::fingerprint_of(*source);
    a.target_state = catalog::fingerprint_of(*target);
    a.size = a.bytes = target->size;
    plan.actions.push_back(a);
  }
  const auto applied = dedup::apply(machinery, plan);
  return applied ? 0 : failed(applied.error());
}
