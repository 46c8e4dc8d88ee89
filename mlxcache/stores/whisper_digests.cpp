#include "mlxcache/stores/whisper_digests.h"

#include <array>
#include <utility>

namespace mlxcache::stores {
namespace {

using Row = std::pair<std::string_view, std::string_view>;

constexpr std::array kOpenAi = std::to_array<Row>({
    {"tiny.en.pt", "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03"},
    {"tiny.pt", "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9"},
    {"base.en.pt", "25a8566e1d0c1e2231d1c762132cd20e0f96a85d16145c3a00adf5d1ac670ead"},
    {"base.pt", "ed3a0b6b1c0edf879ad9b11b1af5a0e6ab5db9205f891f668f8b0e6c6326e34e"},
    {"small.en.pt", "f953ad0fd29cacd07d5a9eda5624af0f6bcf2258be67c92b79389873d91e0872"},
    {"small.pt", "9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794"},
    {"medium.en.pt", "d7440d1dc186f76616474e0ff0b3b6b879abc9d1a4926b7adfa41db2d497ab4f"},
    {"medium.pt", "345ae4da62f9b3d59415adc60127b97c714f32e89e936602e85993674d08dcb1"},
    {"large.pt", "e4b87e7e0bf463eb8e6956e646f1e277e901512310def2c24bf0e11bd3c28e9a"},  // until large-v2 came
    {"large-v1.pt", "e4b87e7e0bf463eb8e6956e646f1e277e901512310def2c24bf0e11bd3c28e9a"},
    {"large-v2.pt", "81f7c96c852ee8fc832187b0132e569d6c3065a3252ed18e56effd0b6a73e524"},
    {"large-v3.pt", "e5b1a55b89c1367dacf97e3e19bfd829a01529dbfdeefa8caeb59b3f1b81dadb"},
    {"large-v3-turbo.pt", "aff26ae408abcba5fbf8813c21e62b0941638c5f6eebfb145be0c9839262a19a"},
});

constexpr std::array kWhisperCpp = std::to_array<Row>({
    {"ggml-tiny.bin", "bd577a113a864445d4c299885e0cb97d4ba92b5f"},
    {"ggml-tiny.en.bin", "c78c86eb1a8faa21b369bcd33207cc90d64ae9df"},
    {"ggml-base.bin", "465707469ff3a37a2b9b8d8f89f2f99de7299dac"},
    {"ggml-base.en.bin", "137c40403d78fd54d454da0f9bd998f78703390c"},
    {"ggml-small.bin", "55356645c2b361a969dfd0ef2c5a50d530afd8d5"},
    {"ggml-small.en.bin", "db8a495a91d927739e50b3fc1cc4c6b8f6c2d022"},
    {"ggml-small.en-tdrz.bin", "b6c6e7e89af1a35c08e6de56b66ca6a02a2fdfa1"},
    {"ggml-medium.bin", "fd9727b6e1217c2f614f9b698455c4ffd82463b4"},
    {"ggml-medium.en.bin", "8c30f0e44ce9560643ebd10bbe50cd20eafd3723"},
    {"ggml-large-v1.bin", "b1caaf735c4cc1429223d5a74f0f4d0b9b59a299"},
    {"ggml-large-v2.bin", "0f4c8e34f21cf1a914c59d8b3ce882345ad349d6"},
    {"ggml-large-v2-q5_0.bin", "00e39f2196344e901b3a2bd5814807a769bd1630"},
    {"ggml-large-v3.bin", "ad82bf6a9043ceed055076d0fd39f5f186ff8062"},
    {"ggml-large-v3-q5_0.bin", "e6e2ed78495d403bef4b7cff42ef4aaadcfea8de"},
    {"ggml-large-v3-turbo.bin", "4af2b29d7ec73d781377bfd1758ca957a807e941"},
    {"ggml-large-v3-turbo-q5_0.bin", "e050f7970618a659205450ad97eb95a18d69c9ee"},
});

template <std::size_t N>
std::optional<mlxbase::Digest> find(const std::array<Row, N>& rows, mlxbase::Algorithm algorithm, std::string_view name) {
  for (const auto& [known, hex] : rows) {
    if (known == name) return mlxbase::Digest::parse(algorithm, hex);
  }
  return std::nullopt;
}

}  // namespace

std::optional<mlxbase::Digest> openai_whisper_digest(std::string_view file_name) { return find(kOpenAi, mlxbase::Algorithm::sha256, file_name); }
std::optional<mlxbase::Digest> whisper_cpp_digest(std::string_view file_name) { return find(kWhisperCpp, mlxbase::Algorithm::sha1, file_name); }

}  // namespace mlxcache::stores
