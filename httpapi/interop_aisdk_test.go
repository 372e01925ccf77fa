package httpapi_test

import "testing"

// sdkVersions are the AI SDK's that the hub is held to: the first and the last
// of what people have of each major version. Before 5.0.2 the SDK itself fails to
// resume.
var sdkVersions = []string{"ai-5-0-2", "ai-5-0-60", "ai-5-0-277", "ai-6-0-0", "ai-6-0-326", "ai-7-0-0", "ai-7-0-173"}

// TestAISDK drives the class under useChat, with its default transport, in old
// and new versions of the SDK.
func TestAISDK(t *testing.T) {
	dir := npmPackages(t, "aisdk")
	for _, version := range sdkVersions {
		t.Run(version, func(t *testing.T) {
			c := newRemote(t, newRig(t))
			playScenarios(t, dir, "default.mjs", c.rig.url, c.line.url, c.url, version)
		})
	}
}

// TestAISDKKilled: the hub's process is killed in the middle of what the model thinks and
// says, and started again. A page that is loaded again, and one that asks once more, have
// every part of the reply.
func TestAISDKKilled(t *testing.T) {
	dir := npmPackages(t, "aisdk")
	for _, version := range []string{"ai-5-0-277", "ai-6-0-326", "ai-7-0-173"} {
		t.Run(version, func(t *testing.T) {
			r, l, restart := newRestarted(t)
			c := remoteBehind(t, r, l, restart)
			playScenarios(t, dir, "killed.mjs", l.url, l.url, c.url, version)
		})
	}
}
