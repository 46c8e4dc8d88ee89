// mlxcache: parses, wires real parts together, runs.
#include <string>
#include <vector>

#include "mlxbase/core/parallel.h"
#include "mlxbase/os/file_system.h"
#include "mlxbase/os/memory.h"
#include "mlxcache/cli/interrupt.h"
#include "mlxcache/cli/run.h"

int main(int argc, char** argv) {
  namespace cli = mlxcache::cli;
  mlxbase::os::share_heaps(mlxbase::worker_count());
  static mlxbase::Cancel cancel;
  cli::cancel_on_interrupt(cancel);
  cli::DescriptorStream out(1);
  cli::DescriptorStream err(2);
  cli::DescriptorInput in(0);
  cli::World world{.fs = mlxbase::os::real_file_system(),
                   .environment = mlxbase::os::real_environment(),
                   .clock = mlxbase::system_clock(),
                   .cancel = cancel,
                   .out = out,
                   .err = err,
                   .in = in};
  const std::vector<std::string> words(argv + 1, argv + argc);
  return static_cast<int>(cli::run(world, words));
}
