package main

import (
	"os"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"lumos/backend/cmd/needs/chromium"
)

// TestPicture looks at the page of --demo in the middle of a reply, as README.md shows it:
//
//	PICTURE=page.png go test -run TestPicture ./cmd/chathub
func TestPicture(t *testing.T) {
	b := chromium.Start(t)
	demo := launch(t, []string{"PORT=0"}, "--demo")
	demo.listens()
	p := b.Tab(t)
	_, err := chromedp.Call(p.Ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 880, Height: 520, DeviceScaleFactor: 1.5})
	if err != nil {
		t.Fatal(err)
	}
	p.Open(demo.url)
	p.Until("w.state === 'ready'")
	p.Say("I remember my mother")
	p.Until("w.state === 'ready' && $$('.assistant').length === 1")
	p.Say("Count to 500")
	p.Until("w.state === 'writing' && " + shown + ".length > 200")
	png, err := chromedp.Run(p.Ctx, chromedp.CaptureScreenshot())
	const most = 150 << 10
	if err != nil || len(png) > most {
		t.Fatalf("a picture of %d bytes: %v", len(png), err)
	}
	if path := os.Getenv("PICTURE"); path != "" {
		if err := os.WriteFile(path, png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.Stat("page.png"); err != nil || kept.Size() > most {
		t.Errorf("README.md's picture: %v, %v", kept, err)
	}
}
