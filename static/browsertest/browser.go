// Package browsertest drives Chromium for the tests of what the hub serves.
//
// It is imported by tests alone.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/chromedp/chromedp"
)

// Browser is one headless Chromium with a profile of its own.
type Browser struct {
	ctx  context.Context
	stop context.CancelFunc
	dir  string
}

// ErrNone says that no Chromium is installed.
var ErrNone = errors.New("no chromium on the PATH")

// Launch starts a browser, with further options; Close ends it.
func Launch(more ...chromedp.ExecAllocatorOption) (*Browser, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "chathub-browser-")
	if err != nil {
		return nil, err
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), append(opts, more...)...)
	ctx, _ := chromedp.NewContext(alloc)
	b := &Browser{ctx: ctx, stop: stop, dir: dir}
	if err := chromedp.Do(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return b, nil
}

func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNone
}

// Close ends the browser and removes its profile.
func (b *Browser) Close() {
	_ = chromedp.Cancel(b.ctx)
	b.stop()
	_ = os.RemoveAll(b.dir)
}
