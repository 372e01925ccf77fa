package deploytest

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// compose loads a file as docker compose does: what the specification does not know is an error.
func compose(t *testing.T, name string, env map[string]string) (*types.Project, error) {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: dir, Environment: env,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, name), Content: read(t, name)}},
	})
}

func TestCompose(t *testing.T) {
	known := settings(t)
	for _, tt := range []struct {
		file string
		env  map[string]string // what the file wants to be told
		hubs []string
	}{
		{"compose.yaml", map[string]string{"MISTRAL_API_KEY": "k"}, []string{"chathub"}},
		{"compose.cluster.yaml", map[string]string{"MISTRAL_API_KEY": "k", "SITE": site}, []string{"hub1", "hub2"}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			for missing := range tt.env {
				less := map[string]string{}
				for name, value := range tt.env {
					if name != missing {
						less[name] = value
					}
				}
				if _, err := compose(t, tt.file, less); err == nil {
					t.Errorf("it starts without %s", missing)
				}
			}
			project, err := compose(t, tt.file, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range tt.hubs {
				checkHub(t, project, known, project.Services[name])
			}
			for _, service := range project.Services {
				for _, v := range service.Volumes {
					if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && err != nil {
						t.Errorf("%s: %v", service.Name, err)
					}
				}
			}
		})
	}
}

// site is the name that the files give the hub.
const site = "chat.example"

func checkHub(t *testing.T, project *types.Project, known map[string]bool, s types.ServiceConfig) {
	t.Helper()
	if s.Build == nil || s.StopGracePeriod == nil {
		t.Fatalf("%s has no build, or no stop_grace_period", s.Name)
	}
	if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
	if time.Duration(*s.StopGracePeriod) <= drainTimeout {
		t.Errorf("%s is killed after %v", s.Name, *s.StopGracePeriod)
	}
	if !s.ReadOnly || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL" || s.Privileged {
		t.Errorf("%s may more than it needs", s.Name)
	}
	for name := range s.Environment {
		if !known[name] {
			t.Errorf("%s sets %s, which the hub does not read", s.Name, name)
		}
	}
	proxy, err := netip.ParsePrefix(*s.Environment["TRUSTED_PROXIES"])
	if err != nil {
		addr, _ := netip.ParseAddr(*s.Environment["TRUSTED_PROXIES"])
		proxy = netip.PrefixFrom(addr, addr.BitLen())
	}
	network := netip.MustParsePrefix(project.Networks["default"].Ipam.Config[0].Subnet)
	if !network.Contains(proxy.Addr()) || proxy.Bits() < network.Bits() {
		t.Errorf("%s trusts %v, its network is %v", s.Name, proxy, network)
	}
	// The image keeps conversations in /data unless REDIS_URL is set.
	if s.Environment["REDIS_URL"] != nil {
		return
	}
	if len(s.Volumes) != 1 || s.Volumes[0].Type != types.VolumeTypeVolume || s.Volumes[0].Target != "/data" {
		t.Errorf("%s keeps nothing: %v", s.Name, s.Volumes)
	}
}
