#include "mlxbase/core/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

namespace mlxbase {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return fail(Code::invalid, "odd");
  return n / 2;
}
Result<int> quarter(int n) {
  const int h = TRY(half(n));
  return half(h);
}
Status check(int n) {
  TRY(quarter(n));
  return {};
}
Result<std::unique_ptr<int>> boxed(int n) { return std::make_unique<int>(TRY(half(n))); }

TEST(Try, GivesTheValueOrReturnsTheErrorEarly) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(7).error().message, "odd");
  EXPECT_EQ(quarter(6).error().code, Code::invalid);
  EXPECT_TRUE(check(4));
  EXPECT_FALSE(check(2));
}

TEST(Try, MovesWhatCannotBeCopied) {
  const auto unbox = [](int n) -> Result<int> {
    const auto box = TRY(boxed(n));
    return *box;
  };
  EXPECT_EQ(unbox(6).value(), 3);
}

// As large as FileStat and with padding at its end, which libc++ 16 used for the flag: cmake/libcxx_expected.h.
struct Padded {
  std::int64_t most[8] = {};
  bool last = false;
};
Result<Padded> padded() {
  Padded p;
  p.last = true;
  return p;
}

TEST(Result, AValueWithPaddingAtItsEndStaysAValue) {
  const auto pass = []() -> Result<Padded> { return TRY(padded()); };
  auto first = pass();
  const auto second = std::move(first);
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->last);
  EXPECT_TRUE(Result<Padded>(Padded{}));
}

TEST(ErrnoCodes, TellApartWhatACallerMustTellApart) {
  EXPECT_EQ(code_of_errno(ENOENT), Code::not_found);
  EXPECT_EQ(code_of_errno(EACCES), Code::permission);
  EXPECT_EQ(code_of_errno(EROFS), Code::permission);
  EXPECT_EQ(code_of_errno(ENOSPC), Code::out_of_space);
  EXPECT_EQ(code_of_errno(EDQUOT), Code::out_of_space);
  EXPECT_EQ(code_of_errno(EXDEV), Code::unsupported);
  EXPECT_EQ(code_of_errno(EMLINK), Code::unsupported);
  EXPECT_EQ(code_of_errno(ENOTSUP), Code::unsupported);     // another number than EOPNOTSUPP on macOS
  EXPECT_EQ(code_of_errno(EOPNOTSUPP), Code::unsupported);
  EXPECT_EQ(code_of_errno(EIO), Code::io);
}

TEST(ErrnoCodes, TheMessageSaysWhatWasTriedAndWhy) {
  const Error error = errno_error(ENOENT, "open /a");
  EXPECT_EQ(error.message, "open /a: No such file or directory");
  EXPECT_EQ(error.os_errno, ENOENT);
}

}  // namespace
}  // namespace mlxbase
