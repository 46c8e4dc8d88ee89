// Opens the monitor's page in a real Chromium, at two widths, dark and light (with a key: once), and says as JSON what it found. node page.mjs URL FOLDER [KEY]
import { createRequire } from "node:module";

const [url, folder, key] = process.argv.slice(2);
const require = createRequire(new URL("../../mlxdash/web/page/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axe = require("axe-core").source;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const found = [];
for (const width of key ? [360] : [1280, 360]) {
  for (const colorScheme of key ? ["light"] : ["dark", "light"]) {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, locale: "en" });
    const page = await context.newPage();
    const errors = [];
    const foreign = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && !message.text().includes("401") && errors.push(message.text()));
    page.on("request", (request) => new URL(request.url()).origin === new URL(url).origin || foreign.push(request.url()));
    await page.goto(url);
    if (key) {
      await page.fill("#key", "wrong-but-long-enough");
      await page.keyboard.press("Enter");
      await page.waitForSelector("[role=alert]");
      await page.fill("#key", key);
      await page.keyboard.press("Enter");
    }
    await page.waitForSelector(".state.live");
    await page.waitForSelector(".chart canvas");
    await page.waitForFunction(() => document.body.innerText.includes("llama3.2:3b"));
    await page.waitForTimeout(1500);
    await page.screenshot({ path: `${folder}/${width}-${colorScheme}.png`, fullPage: true });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    await page.evaluate(`${axe};0`);
    const axeFound = await page.evaluate(() => window.axe.run().then((r) => r.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`)));
    await page.evaluate(() => document.activeElement?.blur());
    const focused = [];
    for (let i = 0; i < 4; i += 1) {
      await page.keyboard.press("Tab");
      focused.push(await page.evaluate(() => document.activeElement?.tagName.toLowerCase()));
    }
    const before = await page.evaluate(() => document.documentElement.dataset.theme);
    await page.click("header button");
    const after = await page.evaluate(() => document.documentElement.dataset.theme);
    const text = await page.evaluate(() => document.body.innerText);
    const stored = await page.evaluate(() => document.cookie);
    found.push({ width, colorScheme, errors, foreign, overflow, axe: axeFound, focused, before, after, text, stored });
    await context.close();
  }
}
process.stdout.write(JSON.stringify(found));
await browser.close();
