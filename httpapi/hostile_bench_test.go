package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
)

// hostileRole names what a process that BenchmarkHonestClient has started is:
// "server", "sink", "watch <address> <session> <how many>" (BenchmarkWatchers), or
// "attack <name> <address>".
const hostileRole = "CHATHUB_HOSTILE_ROLE"

// TestHostileRole is not a test but what such a process does, until its
// standard input ends.
func TestHostileRole(t *testing.T) {
	role, rest, _ := strings.Cut(os.Getenv(hostileRole), " ")
	switch role {
	case "":
		return
	case "server":
		quiet := slog.New(slog.DiscardHandler)
		r := besieged(t, withHub(func(c *hub.Config) { c.Logger = quiet }), withAPI(func(c *httpapi.Config) { c.Logger = quiet }), forgetful)
		fmt.Println("listens at", r.addr())
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			debug.FreeOSMemory() // twice: what finalizers let go of
			debug.FreeOSMemory()
			fmt.Println("has let go of what it can")
		}
	case "sink":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go sink(l)
		fmt.Println("listens at", l.Addr())
	case "watch":
		closed, err := watchMany(rest)
		defer closed()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("listens at nothing")
	case "attack":
		addr, name, _ := strings.Cut(rest, " ")
		for _, a := range floods {
			if a.name == name {
				defer a.run(addr)()
			}
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// sink takes whatever it is sent. It answers once, so that a WebSocket's client
// goes on.
func sink(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if _, err := c.Read(make([]byte, 4<<10)); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
				_, _ = io.Copy(io.Discard, c)
			}
		}()
	}
}

// roleProcess is a process that has a role.
type roleProcess struct {
	cmd  *exec.Cmd
	addr string // "": it does not listen
	in   io.WriteCloser
	out  *bufio.Reader
}

func startRole(tb testing.TB, role string) *roleProcess {
	tb.Helper()
	p := &roleProcess{cmd: exec.Command(os.Args[0], "-test.run=^TestHostileRole$")}
	p.cmd.Env = append(os.Environ(), hostileRole+"="+role)
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	// Attackers bring processors of their own. Here they share the server's, and
	// come last on them: it still takes as much of an attack as it can.
	if nice, err := exec.LookPath("nice"); err == nil && strings.HasPrefix(role, "attack") {
		p.cmd.Path, p.cmd.Args = nice, append([]string{nice, "-n", "19"}, p.cmd.Args...)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	if !strings.HasPrefix(role, "attack") {
		line, err := p.out.ReadString('\n')
		if err != nil {
			tb.Fatalf("%s: %v", role, err)
		}
		p.addr = strings.TrimPrefix(strings.TrimSpace(line), "listens at ")
	}
	return p
}

func (p *roleProcess) stop() {
	_ = p.in.Close()
	_, _ = io.Copy(io.Discard, p.out)
	_ = p.cmd.Wait()
}

// settled has the server let go of what it can and returns what it keeps, in MB.
func (p *roleProcess) settled() float64 {
	_, _ = io.WriteString(p.in, "\n")
	_, _ = p.out.ReadString('\n')
	return p.resident()
}

// resident is how much of the process is in memory, in MB, and processor how
// much time of processors it has used; 0 where the system does not tell.
func (p *roleProcess) resident() float64 {
	return p.field("statm", 1) * float64(os.Getpagesize()) / 1e6
}

func (p *roleProcess) processor() time.Duration {
	const tick = time.Second / 100
	return time.Duration(p.field("stat", 13)+p.field("stat", 14)) * tick
}

func (p *roleProcess) field(file string, n int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	if fields := strings.Fields(string(text)); err == nil && n < len(fields) {
		v, _ := strconv.ParseFloat(fields[n], 64)
		return v
	}
	return 0
}

// latencies are how long an honest client waited for whole answers.
type latencies []time.Duration

func (l latencies) quantile(percent int) float64 {
	slices.Sort(l)
	return float64(l[len(l)*percent/100].Microseconds())
}

// measure asks once more. Conversations are kept short: the model is sent all
// of one.
func (h *honest) measure(tb testing.TB, l *latencies) {
	tb.Helper()
	if len(h.page.messages) > 20 {
		next, err := newHonest(h.s.conn.RemoteAddr().String())
		if err != nil {
			tb.Fatal(err)
		}
		h.s.close()
		*h = *next
	}
	took, err := h.ask()
	if err != nil {
		tb.Fatal(err)
	}
	*l = append(*l, took)
}

// during measures for as long as it is told to.
func (h *honest) during(tb testing.TB, d time.Duration) (l latencies) {
	tb.Helper()
	for over := time.Now().Add(d); time.Now().Before(over) || len(l) < 20; {
		h.measure(tb, &l)
	}
	return l
}

// hostileFigures are what BenchmarkHonestClient tells of each attack: the
// honest client's latency, quiet and attacked, their ratio at the median and at
// the 99th percentile, the same while a sink is attacked; the share of one
// processor that the server takes, and its memory.
var hostileFigures = []string{"quiet-µs", "attack-µs", "x", "x-p99", "sink-x", "sink-x-p99", "cpu-%", "MB-before", "MB-most", "MB-after"}

// BenchmarkHonestClient measures what an honest client waits for an answer,
// quiet and under each attack, and what the attack costs the server. Server,
// attackers and client are processes of their own on one machine, so the
// attackers take processors away from both: sink-x is the ratio while the same
// attackers attack a socket that does nothing.
//
//	go test -run '^$' -bench HonestClient -benchtime 3s ./httpapi
func BenchmarkHonestClient(b *testing.B) {
	rows := make([]string, len(floods))
	for i, a := range floods {
		b.Run(strings.ReplaceAll(a.name, " ", "_"), func(b *testing.B) {
			const moment = time.Second
			server, nowhere := startRole(b, "server"), startRole(b, "sink")
			defer server.stop()
			defer nowhere.stop()
			h, err := newHonest(server.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { h.s.close() }()
			h.during(b, moment/2)
			quiet := h.during(b, moment)
			attackers := startRole(b, "attack "+nowhere.addr+" "+a.name)
			h.during(b, moment/2)
			beside := h.during(b, moment)
			attackers.stop()

			before, most := server.settled(), 0.0
			attackers = startRole(b, "attack "+server.addr+" "+a.name)
			h.during(b, moment/2)
			var under latencies
			began, used := time.Now(), server.processor()
			for b.Loop() {
				h.measure(b, &under)
				most = max(most, server.resident())
			}
			busy := float64(server.processor()-used) / float64(time.Since(began))
			attackers.stop()
			h.during(b, 3*moment) // what is left of it goes

			b.ReportMetric(0, "ns/op")
			row := []string{a.name}
			for at, v := range []float64{
				quiet.quantile(50), under.quantile(50), under.quantile(50) / quiet.quantile(50), under.quantile(99) / quiet.quantile(99),
				beside.quantile(50) / quiet.quantile(50), beside.quantile(99) / quiet.quantile(99), 100 * busy, before, most, server.settled(),
			} {
				b.ReportMetric(v, hostileFigures[at])
				row = append(row, fmt.Sprintf("%.4g", v))
			}
			rows[i] = strings.Join(row, "\t") // of several runs the last
		})
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "\t"+strings.Join(hostileFigures, "\t")+"\t")
	for _, row := range rows {
		if row != "" {
			fmt.Fprintln(out, row+"\t")
		}
	}
	_ = out.Flush()
}

// besieged is a server whose limits hold for clients of this machine.
func besieged(tb testing.TB, options ...rigOption) *rig {
	return newRig(tb, append(options, withLimits(hub.Limits{MessagesPerMinute: 60, RepliesPerClient: 50, ConnectionsPerClient: 100}),
		withAPI(func(c *httpapi.Config) {
			c.WriteTimeout = time.Second
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}))...)
}
