// The live view's page and the report in a real browser.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { api, ROOT, until } from './support/index.mjs'
import { EVIL, events, folder, hybrid, large, small, stream, ticks } from './support/view.mjs'

const { openView } = api

const CHROMIUM = '/usr/bin/chromium'
function browsers() {
  try {
    return createRequire(path.join(ROOT, 'package.json'))('playwright-core').chromium
  } catch {
    return undefined
  }
}
const chromium = browsers()
const missing = [!existsSync(CHROMIUM) && `there is no ${CHROMIUM}`, !chromium && 'playwright-core is not installed'].filter(Boolean)

describe.skipIf(missing.length > 0)(`the page in Chromium${missing.length > 0 ? ` (skipped: ${missing.join(', ')})` : ''}`, () => {
  let browser
  beforeAll(async () => {
    const args = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ]
    browser = await chromium.launch({ executablePath: CHROMIUM, args })
  })
  afterAll(() => browser?.close())

  async function open(url, options = {}) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, ...options })
    page.problems = []
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && page.problems.push(message.text()))
    page.on('pageerror', (error) => page.problems.push(error.stack))
    page.on('request', (request) => /^(http:\/\/127\.0\.0\.1:|file:|data:)/.test(request.url()) || page.problems.push(request.url()))
    onTestFinished(() => page.close())
    await page.goto(url)
    return page
  }
  const words = (page, id) => page.locator(`#${id}`).textContent()
  const state = (page, wanted) => page.locator('#state', { hasText: wanted }).waitFor({ timeout: 10_000 })

  test('shows a run from waiting to its end, by keys as well', async () => {
    let gone = false
    const pipeline = await hybrid({ name: `run ${EVIL}`, fails: () => gone })
    const view = await openView(pipeline, { ui: { port: 0 } })
    onTestFinished(() => view.close())
    const page = await open(view.url)
    await state(page, 'Waiting for the first item')
    await stream(pipeline, view, [...small(30), ...large(10)], EVIL)
    await state(page, 'Running')
    await page.locator('#tiles', { hasText: '40' }).waitFor()
    await page.locator('#decision-table', { hasText: '#39' }).waitFor()
    gone = true
    await stream(pipeline, view, large(4), 'bob')
    await page.locator('#graph', { hasText: 'breaker open' }).waitFor()
    expect(await words(page, 'session-table')).toContain(EVIL)
    expect(await page.evaluate(() => globalThis.hacked)).toBeUndefined()

    await page.keyboard.press('/')
    expect(await page.evaluate(() => document.activeElement.id)).toBe('filter')
    await page.keyboard.type('bob')
    expect(await words(page, 'decision-count')).toBe('4 of the last 44')
    await page.keyboard.press('Escape')
    expect(await words(page, 'decision-count')).toBe('44 in all')
    await page.keyboard.press('p')
    await state(page, 'Paused')
    const seen = events(view.url)
    await until(() => seen.length > 0)
    await stream(pipeline, view, small(6), 'carol')
    await ticks(seen, 3)
    expect(await words(page, 'decision-count')).toBe('44 in all')
    await page.keyboard.press('p')
    await page.locator('#decision-count', { hasText: '50 in all' }).waitFor()
    await page.keyboard.press('?')
    expect(await page.locator('#help-box').isVisible()).toBe(true)
    await page.keyboard.press('Escape')
    expect(await page.locator('#help-box').isVisible()).toBe(false)
    await page.locator('#latency').hover()
    expect(await page.locator('.cursor').count()).toBe(6)
    await page.keyboard.press('w')
    expect(await page.locator('[value="whole"]').isChecked()).toBe(true)

    await view.close()
    await state(page, 'Finished')
    expect(page.problems).toEqual([])
  })

  test('tab order follows the page, and what has the focus shows it', async () => {
    const view = await openView(await hybrid(), { ui: { port: 0 } })
    onTestFinished(() => view.close())
    const page = await open(view.url)
    await state(page, 'Waiting')
    const order = []
    for (let step = 0; step < 6; step++) {
      await page.keyboard.press('Tab')
      order.push(await page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.value))
    }
    expect(order).toEqual(['skip', 'minute', 'pause', 'help', 'sides-0', 'filter'])
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
    expect(outline).toBe('solid')
    const unnamed = await page.evaluate(() =>
      [...document.querySelectorAll('svg[role="img"], [role="region"], section, button, input')]
        .filter(
          (element) =>
            !(
              element.getAttribute('aria-label') ||
              element.getAttribute('aria-labelledby') ||
              element.textContent ||
              element.labels?.length
            ),
        )
        .map((element) => element.outerHTML.slice(0, 80)),
    )
    expect(unnamed).toEqual([])
  })

  test.each([320, 360, 768, 1280, 2400])('nothing scrolls sideways at %i px', async (width) => {
    const pipeline = await hybrid()
    const view = await openView(pipeline, { ui: { port: 0 }, report: path.join(folder(), 'r.html') })
    onTestFinished(() => view.close())
    await stream(pipeline, view, [...small(20), ...large(10)], 'x'.repeat(200))
    view.error(new Error('y'.repeat(400)))
    const page = await open(view.url, { viewport: { width, height: 800 } })
    await page.locator('#session-table', { hasText: 'xxx' }).waitFor()
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    expect(await wide()).toBeLessThanOrEqual(0)
    // No box of the graph hides another, nor is the graph wider than its place where there is room.
    const boxes = await page.evaluate(() =>
      [...document.querySelectorAll('.graph .node rect')]
        .map((rect) => rect.getBoundingClientRect())
        .map(({ left, right, top, bottom }) => ({ left, right, top, bottom })),
    )
    const overlap = boxes.some((a, index) =>
      boxes.some((b, other) => other > index && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom),
    )
    expect(overlap).toBe(false)
    expect(page.problems).toEqual([])
  })

  test('dark and light, with enough contrast', async () => {
    const view = await openView(await hybrid(), { ui: { port: 0 } })
    onTestFinished(() => view.close())
    const contrast = () => {
      const light = (color) => {
        const [r, g, b] = color
          .match(/[\d.]+/g)
          .map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4))
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
      }
      const probe = (name) => {
        const element = document.body.appendChild(document.createElement('i'))
        element.style.color = `var(--${name})`
        const { color } = getComputedStyle(element)
        element.remove()
        return light(color)
      }
      const panel = probe('panel')
      const ratio = (name) => (Math.max(probe(name), panel) + 0.05) / (Math.min(probe(name), panel) + 0.05)
      return {
        dark: panel < 0.1,
        least: Math.min(...['text', 'quiet', 'warn'].map(ratio)),
        lines: Math.min(...['edge', 'cloud', 'hybrid', 'strong'].map(ratio)),
      }
    }
    for (const colorScheme of ['light', 'dark']) {
      const page = await open(view.url, { colorScheme })
      const { dark, least, lines } = await page.evaluate(contrast)
      expect(dark).toBe(colorScheme === 'dark')
      expect(least).toBeGreaterThan(4.5)
      expect(lines).toBeGreaterThan(3)
    }
  })

  test('says that the connection is lost, and finds it again', async () => {
    const view = await openView(await hybrid(), { ui: { port: 0 } })
    onTestFinished(() => view.close())
    const page = await open('about:blank')
    await page.context().setOffline(false)
    let drop
    await page.route('**/events', (route) => (drop ? route.abort() : route.continue()))
    await page.goto(view.url)
    await state(page, 'Waiting')
    drop = true
    await page.reload()
    await state(page, 'Connection lost')
    drop = false
    await state(page, 'Waiting')
  })

  test('the report, on screen and on paper', async () => {
    const file = path.join(folder(), 'report.html')
    const pipeline = await hybrid()
    const view = await openView(pipeline, { report: file })
    await stream(pipeline, view, [...small(50), ...large(20)], EVIL)
    await view.close()
    for (const width of [360, 1200]) {
      const page = await open(`file://${file}`, { viewport: { width, height: 800 } })
      expect(await page.evaluate(() => [document.documentElement.scrollWidth <= innerWidth, globalThis.hacked])).toEqual([true, undefined])
      expect(page.problems).toEqual([])
      expect((await page.pdf({ format: 'A4' })).length).toBeGreaterThan(10_000)
    }
  })
})
