package deploytest

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// manifests are the objects of kubernetes.yaml.
type manifests struct {
	deployment appsv1.Deployment
	service    corev1.Service
	budget     policyv1.PodDisruptionBudget
	ingress    networkingv1.Ingress
}

// loadManifests reads each object strictly: a field that its type does not have is an error.
func loadManifests(t *testing.T) manifests {
	t.Helper()
	var m manifests
	into := map[metav1.TypeMeta]any{
		{APIVersion: "apps/v1", Kind: "Deployment"}:            &m.deployment,
		{APIVersion: "v1", Kind: "Service"}:                    &m.service,
		{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}: &m.budget,
		{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"}:  &m.ingress,
	}
	for _, doc := range bytes.Split(read(t, "kubernetes.yaml"), []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(doc, &kind); err != nil {
			t.Fatal(err)
		}
		object, expected := into[kind]
		if !expected {
			t.Fatalf("there is a second %v, or an unknown one", kind)
		}
		delete(into, kind)
		if err := yaml.UnmarshalStrict(doc, object); err != nil {
			t.Fatalf("%v: %v", kind, err)
		}
	}
	for kind := range into {
		t.Errorf("there is no %v", kind)
	}
	return m
}

func TestKubernetes(t *testing.T) {
	m := loadManifests(t)
	pod := m.deployment.Spec.Template
	for name, selector := range map[string]*metav1.LabelSelector{
		"Deployment": m.deployment.Spec.Selector, "PodDisruptionBudget": m.budget.Spec.Selector,
		"Service": metav1.SetAsLabelSelector(m.service.Spec.Selector), "spread": pod.Spec.TopologySpreadConstraints[0].LabelSelector,
	} {
		of, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil || of.Empty() || !of.Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s does not select the pods: %v, %v", name, of, err)
		}
	}
	c := pod.Spec.Containers[0]

	drain := drainTimeout
	known := settings(t)
	for _, v := range c.Env {
		if !known[v.Name] {
			t.Errorf("it sets %s, which the hub does not read", v.Name)
		}
		if v.Name == "DRAIN_TIMEOUT" {
			var err error
			if drain, err = time.ParseDuration(v.Value); err != nil {
				t.Error(err)
			}
		}
	}
	stop := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second + drain
	if grace := time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second; grace < stop+5*time.Second {
		t.Errorf("a pod is killed after %v, and may take %v to drain", grace, stop)
	}

	named := func(port string) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == port })
	}
	if port := m.service.Spec.Ports[0]; !named(port.TargetPort.String()) {
		t.Errorf("the service leads to the port %v", port.TargetPort)
	}
	if b := m.ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service; b.Name != m.service.Name || b.Port.Name != m.service.Spec.Ports[0].Name {
		t.Errorf("the ingress leads to %v", b)
	}
	running := startHub(t)
	for name, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		resp, err := http.Get("http://" + running + probe.HTTPGet.Path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !named(probe.HTTPGet.Port.String()) {
			t.Errorf("the %s probe asks %v, %s: %s", name, probe.HTTPGet.Port, probe.HTTPGet.Path, resp.Status)
		}
	}
	if c.LivenessProbe.HTTPGet.Path == c.ReadinessProbe.HTTPGet.Path {
		t.Error("what is not ready is killed")
	}
	// envFrom wins over nothing: REDIS_URL comes from the secret, and a pod has no volume to need.
	if len(c.EnvFrom) != 1 || len(pod.Spec.Volumes) != 0 || *m.deployment.Spec.Replicas < 2 {
		t.Errorf("%d replicas, volumes %v", *m.deployment.Spec.Replicas, pod.Spec.Volumes)
	}
}

// startHub starts the hub's demo, which ends with the test, and returns its address.
func startHub(t *testing.T) string {
	t.Helper()
	port := freePort(t)
	addr := net.JoinHostPort("127.0.0.1", port)
	cmd := exec.Command(hub, "--demo", "--port="+port)
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	eventually(t, "the hub listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return addr
}
