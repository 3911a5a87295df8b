// SPDX-License-Identifier: Apache-2.0
// Drives a headless Chromium through one sign-in: node browser.mjs CHROMIUM PROFILE URL NAME. The page that it ends
// on (ui.html) has the title "done" or "failed"; what it shows is printed.
import { chromium } from 'playwright-core';

const [executablePath, profile, url, name] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  await page.goto(url);
  await page.fill('input[name=login]', name);
  await page.fill('input[name=password]', 'right');
  await page.click('button[type=submit]');
  await page.waitForSelector('text=Authorize', { state: 'attached' });
  await page.click('button[type=submit]'); // the consent
  await page.waitForFunction(() => ['done', 'failed'].includes(document.title));
  console.log(await page.textContent('pre'));
} finally {
  await context.close();
}
