package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"sync"
	"syscall"
)

// disk is a directory that fails, and dies, at any call.
type disk struct {
	mu      sync.Mutex
	names   map[string]*diskFile
	durable map[string]*diskFile // the names that a machine's death leaves
	calls   []string             // all that there were, in order

	// crashAt is the call at which everything ends, and failAt the one that fails;
	// -1: none. Of a write, part of it happens: a share of partial / 4.
	crashAt, failAt int
	partial         int
	after           bool // the call at crashAt happens
	crashed, failed bool
	full            bool  // nothing can be written or made
	room            int64 // what Free tells; 0: any amount
}

// diskFile is a file. Of its bytes only the first synced are sure to survive a
// machine's death, and none behind lost, whatever is synced later, if that is
// not 0: a sync has failed.
type diskFile struct {
	data   []byte
	synced int
	lost   int
}

var errCrashed = errors.New("the process is dead")

func newDisk() *disk {
	return &disk{names: map[string]*diskFile{}, durable: map[string]*diskFile{}, crashAt: -1, failAt: -1}
}

// call counts a call. It returns how much of it happens, of 4, and its error.
func (d *disk) call(op, name string) (share int, err error) {
	n := len(d.calls)
	d.calls = append(d.calls, op+" "+name)
	switch {
	case d.crashed:
		return 0, errCrashed
	case n == d.crashAt:
		d.crashed = true
		if d.after {
			return 4, errCrashed
		}
		return d.partial, errCrashed
	case n == d.failAt:
		d.failed = true
		return d.partial, syscall.EIO
	case d.full && (op == "write" || op == "create"):
		d.failed = true
		return d.partial, syscall.ENOSPC
	}
	return 4, nil
}

func (d *disk) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.names)), nil
}

func (d *disk) Read(name string, limit int64) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(f.data[:min(int64(len(f.data)), limit)]), nil
}

func (d *disk) Create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	share, err := d.call("create", name)
	if d.names[name] != nil {
		return nil, fs.ErrExist
	}
	f := new(diskFile)
	if share == 4 {
		d.names[name] = f
	}
	return &diskHandle{d, name, f}, err
}

func (d *disk) Sync(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil {
		return fs.ErrNotExist
	}
	return d.sync(name, f)
}

func (d *disk) sync(name string, f *diskFile) error {
	share, err := d.call("sync", name)
	switch {
	case share == 4 && f.lost == 0:
		f.synced = len(f.data)
	case share != 4 && !d.crashed && f.lost == 0:
		f.lost = f.synced // the system has forgotten it
	}
	return err
}

func (d *disk) Unlink(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	share, err := d.call("unlink", name)
	if share == 4 {
		delete(d.names, name)
	}
	return err
}

func (d *disk) SyncDir() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	share, err := d.call("syncdir", "")
	if share == 4 {
		d.durable = maps.Clone(d.names)
	}
	return err
}

func (d *disk) Free() int64 {
	if d.room > 0 {
		return d.room
	}
	return math.MaxInt64
}

type diskHandle struct {
	d    *disk
	name string
	f    *diskFile
}

func (h *diskHandle) Write(p []byte) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	share, err := h.d.call("write", h.name)
	n := len(p) * share / 4
	h.f.data = append(h.f.data, p[:n]...)
	return n, err
}

func (h *diskHandle) Sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return h.d.sync(h.name, h.f)
}

func (h *diskHandle) Close() error { return nil }

// copyOf returns a disk with these files.
func copyOf(names map[string]*diskFile, content func(f *diskFile) []byte) *disk {
	d := newDisk()
	for name, f := range names {
		data := content(f)
		d.names[name] = &diskFile{data: data, synced: len(data)}
	}
	d.durable = maps.Clone(d.names)
	return d
}

// afterProcess is what the death of the process leaves: all that was written.
func (d *disk) afterProcess() *disk {
	return copyOf(d.names, func(f *diskFile) []byte { return slices.Clone(f.data) })
}

// nextProcess is what the next process finds: as afterProcess, but nothing is
// synced that was not.
func (d *disk) nextProcess() *disk {
	next := d.afterProcess()
	for name, f := range d.names {
		next.names[name].synced = f.synced
	}
	next.durable = map[string]*diskFile{}
	for name, f := range d.durable {
		if d.names[name] == f {
			next.durable[name] = next.names[name]
		}
	}
	return next
}

// afterMachine returns what the death of the machine can leave: what was synced,
// and of the rest all or nothing, a part, or its length alone; with the names that
// were synced, or those that there were.
func (d *disk) afterMachine() map[string]*disk {
	kept := map[string]func(f *diskFile) []byte{
		"nothing": func(f *diskFile) []byte { return slices.Clone(f.data[:f.synced]) },
		"all": func(f *diskFile) []byte {
			if f.lost != 0 {
				return slices.Clone(f.data[:f.synced])
			}
			return slices.Clone(f.data)
		},
		"half": func(f *diskFile) []byte { return slices.Clone(f.data[:(f.synced+len(f.data))/2]) },
		"zeros": func(f *diskFile) []byte {
			return append(slices.Clone(f.data[:f.synced]), make([]byte, len(f.data)-f.synced)...)
		},
		"the end alone": func(f *diskFile) []byte {
			b := slices.Clone(f.data)
			clear(b[f.synced : (f.synced+len(b))/2])
			return b
		},
	}
	out := map[string]*disk{}
	for what, content := range kept {
		out[what+" of the data, synced names"] = copyOf(d.durable, content)
		out[what+" of the data, all names"] = copyOf(d.names, content)
	}
	return out
}

// lastCall names the call at which it crashed, or failed.
func (d *disk) at(n int) string {
	if n < 0 || n >= len(d.calls) {
		return "none"
	}
	return fmt.Sprintf("%d: %s", n, d.calls[n])
}
