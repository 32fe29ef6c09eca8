package httpapi

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"seqrec/internal/event"
	"seqrec/internal/recommend"
)

// browserWait is how long a browser may take for one step on a busy machine.
const browserWait = 60 * time.Second

// shelf is a small service: it knows some films and answers those that follow on the shelf.
type shelf struct {
	*fake
	mu    sync.Mutex
	asked []recommend.Request
	fail  error

	second  bool               // answers like a service with a second stage
	moments []recommend.Moment // of any item, when it is asked to explain
}

func filmTitles() []string {
	return []string{"Toy Story (1995)", "Jumanji (1995)", "Heat (1995)", "GoldenEye (1995)", "Casino (1995)", "Twelve Monkeys (1995)",
		"Babe (1995)", "Seven (1995)", "Braveheart (1995)", "Apollo 13 (1995)", "Saving Private Ryan (1998)", "Titanic (1997)",
		"Contact (1997)", "Good Will Hunting (1997)", "The Matrix (1999)", "Fight Club (1999)", "<b>Not bold</b> & co (2000)", "Gladiator (2000)"}
}

func newShelf() *shelf {
	s := &shelf{fake: &fake{}}
	titles := filmTitles()
	s.find = func(_ context.Context, text string, limit int) ([]recommend.CatalogItem, error) {
		var found []recommend.CatalogItem
		for i, title := range titles {
			if strings.Contains(strings.ToLower(title), strings.ToLower(text)) && len(found) < limit {
				found = append(found, recommend.CatalogItem{ID: event.ItemID(fmt.Sprint(i)), Title: title, Categories: []string{"Drama"}})
			}
		}
		return found, nil
	}
	s.getItem = func(_ context.Context, id event.ItemID) (recommend.CatalogItem, error) {
		var i int
		if _, err := fmt.Sscan(string(id), &i); err != nil || i >= len(titles) {
			return recommend.CatalogItem{}, recommend.ErrNotFound
		}
		return recommend.CatalogItem{ID: id, Title: titles[i]}, nil
	}
	s.history = func(_ context.Context, user event.UserID, _ recommend.Page) ([]event.Event, string, error) {
		return []event.Event{{User: user, Item: "3", Kind: "purchase", Time: 2}, {User: user, Item: "999", Time: 1}}, "", nil
	}
	s.predict = s.next
	return s
}

func (s *shelf) next(_ context.Context, r recommend.Request) (recommend.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r)
	if s.fail != nil {
		return recommend.Answer{}, s.fail
	}
	a := recommend.Answer{RecommendationID: "r", Model: recommend.ModelRef{Name: "sasrec", Version: version}, Rung: recommend.RungModel, Took: 310 * time.Microsecond}
	a.History.Used = len(r.History)
	start := 0
	switch {
	case r.User != "":
		start, a.History.Used, a.History.Unknown = 4, 1, 1
	case len(r.History) == 0:
		a.Rung = recommend.RungPopular
	default:
		_, _ = fmt.Sscan(string(r.History[len(r.History)-1].Item), &start)
		start++
	}
	titles := filmTitles()
	if s.second {
		s.searched(&r, &a)
	}
	for i := range r.K {
		n := (start + i) % len(titles)
		if len(r.Candidates) > 0 {
			_, _ = fmt.Sscan(string(r.Candidates[0]), &n)
		}
		a.Items = append(a.Items, recommend.Item{ID: event.ItemID(fmt.Sprint(n)), Title: titles[n], Score: 5 - float32(i)/3, Source: a.Rung})
	}
	if r.Explain {
		a.Items[0].Moments = s.moments
	}
	return a, nil
}

// searched makes an answer one of a service with a second stage.
func (s *shelf) searched(r *recommend.Request, a *recommend.Answer) {
	a.Rerank = &recommend.RerankUse{Rung: recommend.RerankWhole, Events: len(r.History), Candidates: 300}
	if r.User != "" {
		a.History.Newest = 978300720000
		a.Rerank.Events, a.Rerank.Oldest = 12000, 820454400000
	}
}

// lastAsked is the newest question.
func (s *shelf) lastAsked() recommend.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		return recommend.Request{}
	}
	return s.asked[len(s.asked)-1]
}

func (s *shelf) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *shelf) setMoments(list []recommend.Moment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moments = list
}

// newBrowser starts a headless Chromium; what its pages complain about fails the test. It is skipped only when
// SEQREC_SKIP_BROWSER says so.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	if os.Getenv("SEQREC_SKIP_BROWSER") != "" {
		t.Skip("SEQREC_SKIP_BROWSER is set")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(browserWait), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page threw: %+v", ev.ExceptionDetails)
		case *log.EventEntryAdded:
			// Answers that are problems are asked for below; advice about style is none of them.
			if ev.Entry.Source != "network" && ev.Entry.Level != "verbose" && ev.Entry.Level != "info" {
				t.Errorf("the browser logs: %s %s", ev.Entry.Text, ev.Entry.URL)
			}
		}
	}))
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // closes the browser and waits, so that its folder can go
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil { // starts it
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// step runs actions and names them when they fail.
func step(ctx context.Context, t *testing.T, name string, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, browserWait)
	defer cancel()
	if err := chromedp.Do(limited, actions...); err != nil {
		text, _ := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
		t.Fatalf("%s: %v\nthe page reads:\n%s", name, err, text)
	}
}

// until waits for a condition of the page, in JavaScript.
func until(condition string) chromedp.Action[chromedp.Void] {
	return chromedp.Poll[chromedp.Void]("Boolean("+condition+")", chromedp.WithPollingTimeout(browserWait))
}

// items are the ids of a list on the page.
func items(list string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('%s [data-item]')].map((e) => e.dataset.item).join(' ')`, list)
}

// shoot keeps a picture of the page in the folder that SEQREC_SCREENSHOTS names, for a person to look at.
func shoot(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	folder := os.Getenv("SEQREC_SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

// scheme makes the page think that the person prefers light or dark.
func scheme(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
		return err
	})
}

func TestPage(t *testing.T) {
	service := newShelf()
	server := httptest.NewServer(newTestServer(t, service.fake, nil).Data())
	t.Cleanup(server.Close)
	ctx := newBrowser(t)
	press := func(keys string) chromedp.Action[chromedp.Void] { return chromedp.KeyEvent(keys) }

	step(ctx, t, "an empty history shows what is popular", chromedp.Navigate(server.URL+"/"),
		until(`document.querySelectorAll('#answer li').length === 10 && document.querySelector('[data-rung=popular]')`))
	step(ctx, t, "search suggests titles", chromedp.SendKeys(chromedp.CSS("#search"), "ryan"),
		until(`document.querySelector('#found [role=option]')?.textContent.includes('Saving Private Ryan')`),
		until(`document.activeElement.getAttribute('aria-activedescendant') === 'found-0'`))
	shoot(ctx, t, "search")
	step(ctx, t, "Enter takes the suggestion and asks", press(kb.Enter), until(items("#history")+` === '10'`), until(items("#answer")+`.startsWith('11 12 13 ')`))
	step(ctx, t, "a click takes a predicted item", chromedp.Click(chromedp.CSS(`#answer li:nth-child(3) button`)),
		until(items("#history")+` === '10 13'`), until(items("#answer")+`.startsWith('14 15 16 ')`))
	if got := service.lastAsked(); len(got.History) != 2 || got.History[1].Item != "13" || got.User != "" {
		t.Errorf("asked %+v", got)
	}
	step(ctx, t, "text is never read as HTML", until(`document.querySelector('#answer').textContent.includes('<b>Not bold</b> & co')`))
	step(ctx, t, "the keyboard reorders", chromedp.Focus(chromedp.CSS(`#history li:nth-child(2) [aria-label^="Move up"]`)), press(kb.Enter),
		until(items("#history")+` === '13 10'`), until(items("#answer")+`.startsWith('11 12 ')`), until(`document.activeElement.closest('#history')`))
	step(ctx, t, "the keyboard removes", chromedp.Focus(chromedp.CSS(`#history li:nth-child(1) [aria-label^="Remove"]`)), press(kb.Enter),
		until(items("#history")+` === '10'`))
	step(ctx, t, "the arrows choose among suggestions", chromedp.SendKeys(chromedp.CSS("#search"), "1995"), until(`document.querySelectorAll('#found [role=option]').length === 8`),
		press(kb.ArrowDown), press(kb.ArrowDown), press(kb.ArrowUp), press(kb.Enter), until(items("#history")+` === '10 1'`))
	step(ctx, t, "Escape closes the suggestions", chromedp.SendKeys(chromedp.CSS("#search"), "zzz"), until(`!document.querySelector('#found').hidden`),
		press(kb.Escape), until(`document.querySelector('#found').hidden && document.querySelector('#search').value === 'zzz'`),
		press(kb.Escape), until(`document.querySelector('#search').value === ''`))
	for i := 2; i < 6; i++ {
		step(ctx, t, "more clicks", until(items("#answer")+fmt.Sprintf(`.startsWith('%d ')`, i)), chromedp.Click(chromedp.CSS(`#answer li:nth-child(1) button`)),
			until(fmt.Sprintf(`document.querySelectorAll('#history li').length === %d`, i+1)))
	}
	step(ctx, t, "settles", until(items("#answer")+`.startsWith('6 ')`))
	shoot(ctx, t, "page")
	step(ctx, t, "dark", scheme("dark"))
	shoot(ctx, t, "page-dark")
	step(ctx, t, "narrow", chromedp.EmulateViewport(400, 800))
	shoot(ctx, t, "page-narrow")
	step(ctx, t, "light and wide again", scheme("light"), chromedp.EmulateViewport(1280, 900))

	step(ctx, t, "a user's stored history", chromedp.SendKeys(chromedp.CSS("#user"), "ann/1"+kb.Enter),
		until(items("#history")+` === '999 3'`), until(items("#answer")+`.startsWith('4 5 ')`),
		until(`document.querySelector('#history').textContent.includes('GoldenEye')`))
	if got := service.lastAsked(); got.User != "ann/1" || got.History != nil {
		t.Errorf("asked %+v", got)
	}
	shoot(ctx, t, "user")
	step(ctx, t, "a click makes it a copy", chromedp.Click(chromedp.CSS(`#answer li:nth-child(1) button`)), until(items("#history")+` === '999 3 4'`),
		until(items("#answer")+`.startsWith('5 6 ')`))
	if got := service.lastAsked(); got.User != "" || len(got.History) != 3 || got.History[1].Kind != "purchase" {
		t.Errorf("asked %+v", got)
	}

	step(ctx, t, "an address names a user", chromedp.Navigate(server.URL+"/?user=ann%2F1"), until(items("#history")+` === '999 3'`),
		until(items("#answer")+`.startsWith('4 5 ')`))

	service.setFail(recommend.ErrNoModel)
	step(ctx, t, "a problem is shown", chromedp.Evaluate[chromedp.Void](`document.querySelector('#k').value = '20'; document.querySelector('#k').dispatchEvent(new Event('change'))`),
		until(`document.querySelector('#problem').textContent.includes('No model is loaded (503)')`))
	shoot(ctx, t, "problem")
	service.setFail(nil)
	step(ctx, t, "and goes away", chromedp.Click(chromedp.CSS("#clear")), until(`document.querySelector('#problem').hidden && document.querySelectorAll('#answer li').length === 18 + 2`))
}

func TestDocs(t *testing.T) {
	s := newTestServer(t, newShelf().fake, nil)
	server := httptest.NewServer(s.Data())
	t.Cleanup(server.Close)
	ctx := newBrowser(t)
	n := 0
	for _, item := range s.contract.doc.Paths.Map() {
		n += len(item.Operations())
	}
	step(ctx, t, "every operation and schema is there", chromedp.Navigate(server.URL+"/docs#predict"),
		until(fmt.Sprintf(`document.querySelectorAll('details.operation').length === %d`, n)),
		until(fmt.Sprintf(`document.querySelectorAll('#schemas > details').length === %d`, len(s.contract.doc.Components.Schemas))),
		until(`document.querySelector('#predict').open`))
	step(ctx, t, "an example can be sent", chromedp.Click(chromedp.CSS(`#predict form.try button`)),
		until(`document.querySelector('#predict .try pre').textContent.includes('"recommendation_id": "r"')`))
	shoot(ctx, t, "docs")
	dead, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll('a[href^="#"]')].map((a) => a.hash.slice(1)).filter((id) => !document.getElementById(id))`))
	if err != nil || len(dead) > 0 {
		t.Errorf("links to nowhere: %v, %v", dead, err)
	}
}

// TestPageWhy picks an item of the list and sees the moments it comes from, on a time line and in words, by pointer and
// by keyboard.
func TestPageWhy(t *testing.T) {
	service := newShelf()
	service.second = true
	service.moments = []recommend.Moment{
		{Item: "3", Title: "GoldenEye (1995)", Kind: "purchase", Time: 899377560000, Place: 5000, Weight: 0.5},
		{Item: "16", Title: "<b>Not bold</b> & co (2000)", Kind: "view", Time: 978300720000, Place: 1, Weight: 0.25},
		{Item: "0", Kind: "view", Time: 820454400000, Place: 12000, Weight: 0.0625},
	}
	server := httptest.NewServer(newTestServer(t, service.fake, nil).Data())
	t.Cleanup(server.Close)
	ctx := newBrowser(t)
	marks := `document.querySelectorAll('#why .moment').length`
	x := func(i int) string {
		return fmt.Sprintf(`document.querySelector('#why [data-moment="%d"] circle').getAttribute('cx')`, i)
	}
	focused := func(i int) string { return fmt.Sprintf(`document.activeElement.dataset.moment === '%d'`, i) }
	const why = `#answer li:nth-child(3) [data-why]`

	step(ctx, t, "a long history", chromedp.Navigate(server.URL+"/?user=ann"), until(items("#answer")+`.startsWith('4 5 6 ')`),
		until(`document.querySelector('[data-rerank=whole-history]').textContent.includes('all 12000 events, for 300 items')`))
	step(ctx, t, "why opens the time line below the item", chromedp.Click(chromedp.CSS(why)), until(marks+` === 3`),
		until(`document.querySelector('#why').closest('li').querySelector('[data-item]').dataset.item === '6'`),
		until(fmt.Sprintf(`document.querySelector('%s').getAttribute('aria-expanded') === 'true'`, why)))
	if got := service.lastAsked(); got.User != "ann" || !got.Explain || got.K != 1 || len(got.Candidates) != 1 || got.Candidates[0] != "6" {
		t.Errorf("asked %+v", got)
	}
	step(ctx, t, "moments stand at their time", until(x(0)+` === '50%'`), until(x(1)+` === '98%'`), until(x(2)+` === '2%'`))
	step(ctx, t, "and are told in words", until(`document.querySelector('#why .moments').textContent.includes('purchase, Jul 2, 1998, 4999 events before the newest')`),
		until(`document.querySelector('#why .moments').textContent.includes('<b>Not bold</b> & co')`),
		until(`document.querySelector('#why .moment').getAttribute('aria-label').includes('GoldenEye (1995): purchase')`))
	shoot(ctx, t, "why")
	step(ctx, t, "dark", scheme("dark"))
	shoot(ctx, t, "why-dark")
	step(ctx, t, "narrow", chromedp.EmulateViewport(400, 800), until(`document.documentElement.scrollWidth <= 400`))
	shoot(ctx, t, "why-narrow")
	step(ctx, t, "light and wide again", scheme("light"), chromedp.EmulateViewport(1280, 900))
	step(ctx, t, "Tab reaches the line", chromedp.Focus(chromedp.CSS(why)), chromedp.KeyEvent(kb.Tab), until(focused(0)),
		until(`document.querySelector('#why li.shown').textContent.includes('GoldenEye')`))
	step(ctx, t, "the arrows walk it", chromedp.KeyEvent(kb.ArrowRight), until(focused(1)), chromedp.KeyEvent(kb.ArrowRight), until(focused(1)),
		chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.ArrowLeft), until(focused(2)), until(`document.querySelectorAll('#why .moment.shown').length === 1`))
	step(ctx, t, "Escape closes it", chromedp.KeyEvent(kb.Escape), until(`!document.querySelector('#why')`), until(fmt.Sprintf(`document.activeElement.matches('%s')`, why)))

	step(ctx, t, "only one is open", chromedp.Click(chromedp.CSS(why)), until(marks+` === 3`), chromedp.Click(chromedp.CSS(`#answer li:nth-child(1) [data-why]`)),
		until(`document.querySelector('#why').closest('li') === document.querySelector('#answer li')`), until(`document.querySelectorAll('[data-why][aria-expanded=true]').length === 1`),
		until(marks+` === 3`))
	step(ctx, t, "without times the line counts events", chromedp.Click(chromedp.CSS(`#answer li:nth-child(1) [data-item]`)), until(items("#history")+` === '999 3 4'`),
		until(items("#answer")+`.startsWith('5 6 ')`), chromedp.Evaluate[chromedp.Void](`void 0`))
	service.setMoments([]recommend.Moment{{Item: "999", Kind: "view", Place: 3, Weight: 0.75}, {Item: "3", Kind: "view", Place: 2, Weight: 0.125}})
	step(ctx, t, "by place", chromedp.Click(chromedp.CSS(`#answer li:nth-child(2) [data-why]`)), until(marks+` === 2`), until(x(0)+` === '2%'`), until(x(1)+` === '50%'`),
		until(`document.querySelector('#why .ends').textContent.includes('2 events before the newest')`), until(`document.querySelector('#why .moments').textContent.includes('GoldenEye')`))
	service.setMoments(nil)
	step(ctx, t, "nothing stands out", chromedp.Click(chromedp.CSS(`#answer li:nth-child(3) [data-why]`)), until(`document.querySelector('#why').textContent.includes('No moment')`))
	service.setFail(recommend.ErrStore)
	step(ctx, t, "a problem is shown", chromedp.Click(chromedp.CSS(`#answer li:nth-child(4) [data-why]`)), until(`document.querySelector('#why [role=alert]')?.textContent.includes('(503)')`))
	service.setFail(nil)
	step(ctx, t, "another answer closes it", chromedp.Click(chromedp.CSS("#clear")), until(`!document.querySelector('#why') && !document.querySelector('[data-why]')`))
}
