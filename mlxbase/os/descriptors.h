#pragma once
// How many files this process may hold open at once.
#include <cstddef>

namespace mlxbase::os {

/// Raises the limit to what the system lets this process raise it to, and says how many descriptors somebody who needs many may take: the rest
/// is for the others. At least 16.
std::size_t descriptors_to_spare();

}  // namespace mlxbase::os
