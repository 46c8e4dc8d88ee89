#include "mlxstudio/template/template.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace mlxstudio::jinja {
namespace {

using mlxbase::Code;
namespace json = mlxbase::json;

/// What comes out; of an error "<code>: <message>".
std::string render(std::string_view source, std::string_view variables = "{}", const Limits& limits = {}) {
  const auto context = json::parse(variables);
  if (!context) return context.error().message;
  auto compiled = Template::compile(source, limits);
  if (!compiled) return std::string(to_string(compiled.error().code)) + ": " + compiled.error().message;
  std::tm now{};
  now.tm_year = 126;
  now.tm_mon = 6;
  now.tm_mday = 4;
  auto text = compiled->render({.variables = *context, .now = now});
  return text ? *text : std::string(to_string(text.error().code)) + ": " + text.error().message;
}

constexpr std::string_view kMessages =
    R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}], "add_generation_prompt": true})";

TEST(Template, RendersAChat) {
  EXPECT_EQ(render("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}"
                   "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
                   kMessages),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(Template, TrimsBlocksAndTheirIndentAsTransformersDoes) {
  EXPECT_EQ(render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(render("a  {%- if true -%}  b  {%- endif -%}  \n c"), "abc");
  EXPECT_EQ(render("a\n  {%+ if true +%}\nb{% endif %}"), "a\n  \nb");
  EXPECT_EQ(render("{# note #}\nx{#- y -#} z"), "xz");
  EXPECT_EQ(render("{{ 1 }}\n{{ 2 }}\n"), "1\n2");
  EXPECT_EQ(render("x {% raw %}{{ not }}{% endraw %} y\r\nz"), "x {{ not }} y\nz");
}

TEST(Template, WritesValuesAsPythonDoes) {
  EXPECT_EQ(render("{{ [1, 2.0, true, none, 'a', \"it's\", 'x\n'] }}"), "[1, 2.0, True, None, 'a', \"it's\", 'x\\n']");
  EXPECT_EQ(render("{{ {'a': (1,), 'b': {}} }}|{{ 1e16 }}|{{ 1e-5 }}|{{ 7 // -2 }}|{{ -7 % 3 }}|{{ 7 / 2 }}"),
            "{'a': (1,), 'b': {}}|1e+16|1e-05|-4|2|3.5");
  EXPECT_EQ(render("{{ 'zürich'|upper }} {{ 'zürich'|length }} {{ 'zürich'[1] }} {{ 'abc'[::-1] }} {{ 'a,b'.split(',') }}"),
            "ZÜRICH 6 ü cba ['a', 'b']");
}

TEST(Template, WritesJsonAsTransformersDoes) {
  EXPECT_EQ(render("{{ x | tojson }}", R"({"x": {"b": [1, 1.0, "ü<'\u0001"], "a": null}})"), R"({"b": [1, 1.0, "ü<'\u0001"], "a": null})");
  EXPECT_EQ(render("{{ x | tojson(indent=2) }}", R"({"x": {"b": [1], "a": {}}})"), "{\n  \"b\": [\n    1\n  ],\n  \"a\": {}\n}");
  EXPECT_EQ(render("{{ x | tojson(ensure_ascii=True, sort_keys=True, separators=(',', ':')) }}", R"({"x": {"b": "😀", "a": 1}})"),
            R"({"a":1,"b":"\ud83d\ude00"})");
  EXPECT_EQ(render("{{ nothing | tojson }}"), "invalid: Object of type Undefined is not JSON serializable");
}

TEST(Template, KeepsVariablesInTheirScopes) {
  EXPECT_EQ(render("{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}"), "15151");
  EXPECT_EQ(render("{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}"), "3");
  EXPECT_EQ(render("{% macro f(a, b=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{% set c = 3 %}{{ f(1) }}{{ f(1, b=2) }}"), "113123");
  EXPECT_EQ(render("{% macro f() %}[{{ caller(1) }}]{% endmacro %}{% call(x) f() %}x{{ x }}{% endcall %}"), "[x1]");
  EXPECT_EQ(render("{% set x %}a{% endset %}{% with y = x %}{{ y }}{% endwith %}{{ y }}{% generation %}{% set x = 2 %}{{ x }}{% "
                   "endgeneration %}{{ x }}"),
            "a2a");
}

TEST(Template, LoopsAsJinjaDoes) {
  EXPECT_EQ(
      render("{% for i in [1, 2, 3, 4] if i != 2 %}{{ loop.index }}{{ i }}{{ loop.last }}{{ loop.length }} {% else %}none{% endfor %}"),
      "11False3 23False3 34True3 ");
  EXPECT_EQ(render("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{{ "
                   "loop.previtem }}{% endfor %}"),
            "021");
  EXPECT_EQ(render("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{% for x in [] %}{% else %}empty{% endfor %}"), "a1empty");
  EXPECT_EQ(render("{% for x in [[1, [2]]] recursive %}{{ loop.depth }}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% "
                   "endfor %}"),
            "1(212(32))");
}

TEST(Template, FailsInTheTemplatesAndPythonsWords) {
  EXPECT_EQ(render("{{ raise_exception('Roles must alternate!') }}"), "invalid: Roles must alternate!");
  EXPECT_EQ(render("{{ x.y.z }}", R"({"x": {}})"), "invalid: 'dict object' has no attribute 'y'");
  EXPECT_EQ(render("{{ nothing.y }}"), "invalid: 'nothing' is undefined");
  EXPECT_EQ(render("{{ 'a' + 1 }}"), "invalid: can only concatenate str (not \"int\") to str");
  EXPECT_EQ(render("{{ 1 < 'a' }}"), "invalid: '<' not supported between instances of 'int' and 'str'");
  EXPECT_EQ(render("{{ [1].append(2) }}"), "invalid: access to attribute 'append' of 'list' object is unsafe.");
  EXPECT_EQ(render("{% for a, b in [1] %}{% endfor %}"), "invalid: cannot unpack non-iterable int object");
  EXPECT_EQ(render("a\n{% if %}"), "corrupt: line 2: Expected an expression, got 'end of statement block'");
  EXPECT_EQ(render("{% endfor %}"), "corrupt: line 1: Encountered unknown tag 'endfor'.");
  EXPECT_EQ(render("{% include 'x' %}"), "invalid: no loader for this environment specified");
}

TEST(Template, EscapesWhatIsJoinedToMarkup) { EXPECT_EQ(render("{{ '<b>'|safe + '<i>' }}{{ '<i>' }}"), "<b>&lt;i&gt;<i>"); }

TEST(Template, TellsTheTimeItIsGiven) { EXPECT_EQ(render("{{ strftime_now('%d %b %Y') }}"), "04 Jul 2026"); }

TEST(Template, EndsBombsWithAnError) {
  const Limits small{.nesting = 50, .depth = 300, .work = 200'000, .text_bytes = 1 << 20};
  const auto refused = [&](const std::string& source) { return render(source, "{}", small).starts_with("unsupported: "); };
  EXPECT_TRUE(refused("{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}"));
  EXPECT_TRUE(refused("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"));
  EXPECT_TRUE(refused("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"));
  EXPECT_TRUE(refused("{{ 'x' * 99999999 }}"));
  EXPECT_TRUE(refused("{{ [1] * 99999999 }}"));
  EXPECT_TRUE(refused("{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"));
  EXPECT_TRUE(refused("{% for i in range(99999) %}{{ '0123456789' * 100 }}{% endfor %}"));
  EXPECT_TRUE(refused("{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}"));
  EXPECT_TRUE(refused("{{ " + std::string(5000, '-') + "1 }}"));
  EXPECT_TRUE(refused("{{ 1" + std::string(100, ' ') + [] {
    std::string s;
    for (int i = 0; i < 9000; ++i) s += "+1";
    return s;
  }() + " }}"));
  std::string blocks;
  for (int i = 0; i < 5000; ++i) blocks += "{% if 1 %}";
  EXPECT_TRUE(refused(blocks));
  EXPECT_TRUE(refused("{{ '%9999999d' % 1 }}{{ 'x'.ljust(99999999) }}"));
  EXPECT_EQ(render("{{ range(10**8) }}"), "invalid: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).");
  EXPECT_EQ(render("{{ 9**9**9 }}").substr(0, 12), "unsupported:");
}

TEST(Template, LetsGoOfANamespaceThatHoldsItself) {  // the leak checker looks on
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.self = ns %}{% macro f() %}{% endmacro %}{% set ns.f = f %}x"), "x");
}

TEST(Template, LoopAndMacroOutliveTheirBlocks) {
  EXPECT_EQ(render("{% set ns = namespace() %}{% for i in [1, 2] %}{% set ns.l = loop %}{% set k = i %}{% macro f() %}{{ k }}{% endmacro "
                   "%}{% set ns.f = f %}{% endfor %}"
                   "{{ ns.l.index }}{{ ns.f() }}"),
            "22");
}

TEST(Template, IsRenderedByManyThreadsAtOnce) {
  const auto compiled =
      Template::compile("{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = ns.t ~ m.content %}{% endfor %}{{ ns.t }}");
  ASSERT_TRUE(compiled);
  const auto context = json::parse(kMessages);
  std::vector<std::string> out(4);
  std::vector<std::thread> threads;
  for (std::string& one : out) threads.emplace_back([&] { one = compiled->render({.variables = *context}).value_or("?"); });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(out, std::vector<std::string>(4, "SHi"));
}

TEST(Template, ReadsEveryShorterTemplateWithoutHarm) {
  const std::string source =
      "{%- macro f(a, *x) -%}{{ a|d('\\u00fc') }}{% endmacro %}{% for k, v in m.items() if k is not none %}{{ f(k[1:], y={'a': [1, (2,)]}) "
      "~ -v ** 2 }}"
      "{# c #}{% raw %}{{{% endraw %}{% endfor %}";
  for (std::size_t n = 0; n <= source.size(); ++n) render(std::string_view(source).substr(0, n), R"({"m": {"a": 1}})");
}

}  // namespace
}  // namespace mlxstudio::jinja
