// The public face is whole by itself: this file includes nothing else of ours.
#include "mlxcache/mlxcache.h"

#include <gtest/gtest.h>

namespace {

TEST(PublicFace, ScansPlansAndCountsWithOneHeader) {
  mlxbase::os::Environment environment;
  environment.home = "/no/such/home";
  environment.root = "/no/such/root";
  environment.etc = "/no/such/etc";
  environment.working_directory = "/";
  const mlxcache::Context context{mlxbase::os::real_file_system(), environment};
  auto catalog = mlxcache::Catalog::in_memory();
  ASSERT_TRUE(catalog);
  const auto found = mlxcache::scan_stores(context, *catalog, {}, mlxbase::no_progress());
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->listings.empty());
  EXPECT_EQ(mlxcache::make_ledger(context.fs, *found).allocated_bytes, 0U);
  const auto plan = mlxcache::make_plan(context, *found, {});
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->actions.empty());
}

}  // namespace
