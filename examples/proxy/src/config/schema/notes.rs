//! What each key does, in a line.

/// Keys by the end of their path, so that a block that occurs in several places is told once. The longest that fits
/// counts.
pub(super) fn of(path: &str) -> Option<&'static str> {
    let fits = |key: &str| {
        path.strip_suffix(key)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    NOTES
        .iter()
        .filter(|(key, _)| fits(key))
        .max_by_key(|(key, _)| key.len())
        .map(|(_, note)| *note)
}

pub(super) const NOTES: &[(&str, &str)] = &[
    ("serviceMesh", "The mesh."),
    ("canaryDeployment", "How new versions are rolled out."),
    (
        "analysisTemplates",
        "Queries that judge a rollout; each a mapping, or the path of an Argo Rollouts file, which begins where this file \
         lies.",
    ),
    ("analysisTemplates[].name", "Its name, unlike the others'."),
    (
        "analysisTemplates[].query",
        "PromQL; `{{.Service}}` and `{{.Version}}` stand for what is judged.",
    ),
    (
        "analysisTemplates[].successCondition",
        "When it is a success. This, the next, or both.",
    ),
    ("analysisTemplates[].failureCondition", "When it is a failure."),
    ("enabled", "`false` switches this part off."),
    ("serviceMesh.enabled", "`false`: plain pass-through."),
    (
        "serviceMesh.namespace",
        "The namespace of the services and of identities.",
    ),
    (
        "serviceMesh.trustDomain",
        "Identities are `spiffe://<trustDomain>/ns/<namespace>/sa/<service>`.",
    ),
    (
        "serviceMesh.zone",
        "Where this process runs: endpoints of this zone are preferred as far as they can carry it.",
    ),
    ("serviceMesh.identity", "What this process is to its peers."),
    ("identity.service", "Its service."),
    (
        "serviceMesh.listeners",
        "Where requests come in. Default: one, `inbound`, on `0.0.0.0:8080`.",
    ),
    ("listeners[].name", "Its name, unlike the others'."),
    ("listeners[].bind", "Where it listens."),
    (
        "listeners[].direction",
        "`inbound`: for others. `outbound`: for the application beside it, whose identity is this process's.",
    ),
    (
        "listeners[].tls",
        "`permissive` takes TLS and plaintext. Default: `strict` if `mutualTLS` is enabled and enforces client certificates, `permissive` if it is only enabled, else `off`.",
    ),
    (
        "listeners[].trustedHops",
        "How many proxies in front are believed about `x-forwarded-*`.",
    ),
    (
        "listeners[].trustedProxies",
        "Who is believed about `x-forwarded-*`; in place of `trustedHops`.",
    ),
    (
        "listeners[].upgrades",
        "What a connection may be upgraded to. Everything else, CONNECT included, is refused.",
    ),
    ("listeners[].limits", "How much one client may ask for."),
    (
        "limits.requestHead",
        "From a request's first byte to the end of its head.",
    ),
    (
        "limits.idle",
        "Without a byte either way while a request is under way.",
    ),
    ("limits.keepAlive", "Between two requests."),
    ("limits.maxHeadBytes", "Of a request's head."),
    ("limits.maxHeaders", "Header fields of a request."),
    ("limits.maxUriBytes", "Of a request's target."),
    ("limits.maxConnections", "Open at once."),
    ("limits.maxStreams", "At once, of an HTTP/2 connection."),
    (
        "limits.maxConnectionAge",
        "After which a connection is closed gracefully; 0: never.",
    ),
    (
        "serviceMesh.metrics",
        "`/metrics`, `/healthz`, `/readyz`; read-only.",
    ),
    ("metrics.bind", "Where they are served."),
    ("serviceMesh.admin", "Dashboard and API."),
    (
        "admin.bind",
        "Where they are served. Beyond loopback only with `tls` and `allow`, or with `tokenFile`.",
    ),
    ("admin.tls", "Served over mutual TLS."),
    ("admin.allow", "Who may ask; needs `tls`."),
    ("admin.tokenFile", "A file with the token a caller shows."),
    ("serviceMesh.services", "What requests are for."),
    ("services[].name", "Its name, unlike the others'."),
    (
        "services[].port",
        "The port it is known by; DNS and Kubernetes discovery look for it.",
    ),
    (
        "services[].replicas",
        "Expected endpoints; fewer raise an event and show in metrics.",
    ),
    (
        "services[].enableTracing",
        "Spans for this service, if there is a collector for them.",
    ),
    (
        "services[].hosts",
        "`Host` values that mean it, at any port; `*`: any other. Default: its name and its cluster DNS names.",
    ),
    (
        "services[].stableVersion",
        "What takes requests unless a rule or a rollout says otherwise. Needed when all endpoints have a version and there are several; endpoints without one are stable.",
    ),
    (
        "services[].endpoints",
        "Static discovery; each an address, or a mapping.",
    ),
    ("endpoints[].address", "Where it listens."),
    ("endpoints[].version", "Its version."),
    (
        "endpoints[].weight",
        "Its share, relative to the others'; 0: none.",
    ),
    ("endpoints[].zone", "Its zone."),
    (
        "services[].discovery",
        "Where further endpoints come from: one of these kinds. Default: `endpoints` if given, else Kubernetes inside a cluster, else DNS of the service's name.",
    ),
    ("discovery.kubernetes", "EndpointSlices."),
    (
        "kubernetes.versionLabel",
        "The label of a pod that holds its version; `version` if neither key is written.",
    ),
    (
        "kubernetes.versions",
        "The Kubernetes service of each version; in place of `versionLabel`.",
    ),
    ("discovery.dns", "A DNS name."),
    ("dns.name", "The name. Default: the service's."),
    (
        "dns.interval",
        "How often it is looked up. Default: as long as answers are good for.",
    ),
    ("discovery.file", "A file that is watched."),
    ("file.path", "Its path."),
    (
        "services[].enableMutualTLS",
        "Connections to it are mutual TLS, and an endpoint proves the service's identity.",
    ),
    ("services[].tls", "With `enableMutualTLS` or `external`."),
    (
        "tls.serverName",
        "An endpoint proves this DNS name instead. Needed for an external service.",
    ),
    ("tls.ca", "A file of further roots, PEM."),
    (
        "services[].protocol",
        "`auto`: what TLS agrees on, HTTP/1 in plaintext.",
    ),
    (
        "services[].external",
        "It stands outside of the mesh and has no identity in it.",
    ),
    ("services[].loadBalancing", "Which endpoint takes a request."),
    ("loadBalancing.algorithm", "How one is picked."),
    (
        "loadBalancing.healthCheckInterval",
        "How often endpoints are asked whether they are well.",
    ),
    ("loadBalancing.healthCheck", "How they are asked."),
    (
        "healthCheck.kind",
        "Default: `http` if `path` is written, else `tcp`.",
    ),
    ("healthCheck.path", "What a check of kind `http` asks for."),
    ("healthCheck.expectedStatus", "What a good answer has."),
    ("healthCheck.timeout", "How long an answer may take."),
    (
        "healthCheck.healthyThreshold",
        "Good answers in a row that make one well.",
    ),
    (
        "healthCheck.unhealthyThreshold",
        "Bad answers in a row that make one unwell.",
    ),
    (
        "loadBalancing.slowStart",
        "How long a new endpoint takes to get its whole share. Default: none.",
    ),
    (
        "loadBalancing.panicThreshold",
        "If fewer percent are well, all are used.",
    ),
    (
        "loadBalancing.hashKey",
        "With `ring_hash` and `maglev`: requests that have this in common go to one endpoint: `source_service`, `client_ip`, `header:NAME` or `cookie:NAME`.",
    ),
    (
        "loadBalancing.subsetSize",
        "How many endpoints of each version this process uses, chosen by its host name. Default: all.",
    ),
    ("services[].circuitBreaker", "When a service is given a rest."),
    ("circuitBreaker.consecutiveFailures", "In a row; opens it."),
    ("circuitBreaker.errorRate", "In the window; opens it. Above 0."),
    (
        "circuitBreaker.minimumRequests",
        "In the window, for the error rate to count.",
    ),
    ("circuitBreaker.window", "At least 10 ms."),
    ("circuitBreaker.openFor", "How long it stays open the first time."),
    (
        "circuitBreaker.maxOpenFor",
        "It stays open longer each time in a row, up to this. Default: `openFor`, no growth.",
    ),
    (
        "circuitBreaker.halfOpenRequests",
        "Tried after that, and needed to close it.",
    ),
    ("circuitBreaker.maxConnections", "To all endpoints."),
    ("circuitBreaker.maxPendingRequests", "That wait for a connection."),
    ("circuitBreaker.maxRequests", "In flight."),
    (
        "services[].outlierDetection",
        "When an endpoint that fails is left out for a while.",
    ),
    ("outlierDetection.consecutiveFailures", "In a row."),
    ("outlierDetection.interval", "How often it is looked at."),
    (
        "outlierDetection.baseEjection",
        "How long it is left out the first time.",
    ),
    (
        "outlierDetection.maxEjectionPercent",
        "Of the endpoints, at once.",
    ),
    (
        "retry",
        "Which failures are tried again, of requests that may be sent twice. Without it, only those that never reached the service.",
    ),
    ("retry.attempts", "After the first."),
    ("retry.on", "After which failures."),
    (
        "retry.perTryTimeout",
        "How long one try may take. Default: as long as all may.",
    ),
    (
        "retry.idempotent",
        "Whether every request may be sent twice. Else those with a method that HTTP calls idempotent, and those with an `Idempotency-Key`.",
    ),
    ("retry.budget", "How many retries there may be in all."),
    ("budget.percent", "Of the requests."),
    ("budget.minPerSecond", "In any case."),
    ("budget.ttl", "How far back requests are counted."),
    ("timeout", "How long a request may take. Default: any time."),
    ("rateLimiting", "How many requests pass. Off unless written."),
    ("trafficManagement.rateLimiting", "The default of every service."),
    ("rules[].rateLimiting", "Besides the service's, and before it."),
    (
        "rateLimiting.enabled",
        "Default: `true` if the block says anything else.",
    ),
    (
        "rateLimiting.requestsPerSecond",
        "For each key. Needed unless switched off.",
    ),
    ("rateLimiting.burstSize", "At once. Default: one second's."),
    ("rateLimiting.keyExtractor", "What requests are counted by."),
    ("rateLimiting.dryRun", "Only counts what it would refuse."),
    (
        "rateLimiting.replicas",
        "How many processes share it: each gives its part. Default: as many as the service of `identity` has endpoints, if it is one of `services`; else 1.",
    ),
    (
        "rateLimiting.maxKeys",
        "So many keys are told apart; those beyond share one allowance.",
    ),
    ("serviceMesh.faults", "What holds for all trouble on purpose."),
    (
        "serviceMesh.faults.enabled",
        "`false` ends it all at once; so does the environment variable `MESH_FAULTS=off`, from the start.",
    ),
    (
        "faults.maxActive",
        "So many requests may be in trouble at once; those beyond go without.",
    ),
    (
        "rateLimiting.shared",
        "Whether all replicas count together, in `trafficManagement.limitStore`, instead of each giving its part.",
    ),
    (
        "trafficManagement.limitStore",
        "Where shared limits are counted. While it does not answer, each replica gives its part.",
    ),
    ("limitStore.redis", "The URL of a Redis server."),
    ("limitStore.timeout", "How long a request waits for it."),
    ("faultInjection", "Trouble on purpose. Off unless written."),
    (
        "rules[].faultInjection",
        "In place of the service's. Beside `destinations` only.",
    ),
    ("faultInjection.delay", "Requests that wait."),
    (
        "faultInjection.abort",
        "Requests that fail, after their delay if they have one.",
    ),
    ("faultInjection.reset", "Responses that break off."),
    ("faultInjection.throttle", "Responses that come slowly."),
    (
        "faultInjection.onRequest",
        "Whether an authenticated peer may ask for trouble: `x-mesh-fault-delay`, `-abort`, `-grpc`, `-reset`, `-throttle`.",
    ),
    (
        "faultInjection.until",
        "When it ends. Default: an hour after it came into use.",
    ),
    ("delay.percentage", "How many."),
    ("delay.fixedDelay", "How long. This or one of the next three."),
    ("delay.uniform", "Anything between two waits."),
    ("uniform.min", "The shortest."),
    ("uniform.max", "The longest."),
    ("delay.normal", "Around a mean, as most response times."),
    ("normal.mean", "The mean."),
    ("normal.deviation", "Its standard deviation."),
    (
        "delay.pareto",
        "Mostly short and sometimes very long, as the tail of a busy service.",
    ),
    ("pareto.min", "The shortest."),
    ("pareto.p99", "One of a hundred is longer."),
    ("delay.maxDelay", "What chance makes longer is cut to this."),
    ("abort.percentage", "How many."),
    ("abort.httpStatus", "With which status; but 204, 205 and 304."),
    (
        "abort.grpcStatus",
        "With which status of gRPC. Default: what fits the HTTP status.",
    ),
    ("reset.percentage", "How many."),
    (
        "reset.afterBytes",
        "So many bytes of the body pass; a shorter one breaks off before its last piece.",
    ),
    ("throttle.percentage", "How many."),
    ("throttle.bytesPerSecond", "Of the body."),
    (
        "services[].compression",
        "Which responses are compressed, with gzip, for clients that take it: those of textual media types that \
         nobody wants left as they are. Leave it off for pages that show a secret beside what a client sent: the size \
         gives it away (BREACH). Off unless written.",
    ),
    (
        "compression.minSize",
        "Smaller ones are left alone; those of unknown length are not.",
    ),
    (
        "services[].authorization",
        "By verified identity; deny before allow, and what no rule allows is denied. Off unless written.",
    ),
    (
        "authorization.mode",
        "`audit` lets denied requests pass, and tells of them.",
    ),
    (
        "authorization.rules",
        "The rules. Their order changes nothing: one that denies comes before all that allow.",
    ),
    ("authorization.rules[].action", "What the rule says."),
    (
        "authorization.rules[].from",
        "About whom. Default: anyone, also without an identity.",
    ),
    ("authorization.rules[].methods", "Default: all."),
    (
        "authorization.rules[].paths",
        "Default: all. `allow` takes them by the letter; `deny` without regard to case, escapes and a slash at the end, and also as a rule of traffic rewrites them.",
    ),
    (
        "authorization.probes",
        "What passes before any rule: `GET` and `HEAD` of exactly these paths. Off unless written.",
    ),
    ("authorization.probes.paths", "The paths."),
    (
        "authorization.probes.networks",
        "From where, by the address of the connection. Default: from anywhere.",
    ),
    (
        "serviceMesh.mutualTLS",
        "Certificates, and what is spoken with them.",
    ),
    (
        "mutualTLS.enforceClientCerts",
        "A client without a certificate is refused by a `strict` listener; else it is served as nobody.",
    ),
    (
        "mutualTLS.keyType",
        "The keys of certificates. Default: RSA of `keySize` if that is written, else `ecdsa-p256`.",
    ),
    (
        "mutualTLS.keySize",
        "Alone, the size of an RSA key; beside `keyType` it has to agree.",
    ),
    (
        "mutualTLS.verifyPeerCertificate",
        "`false` only with `iAcceptInsecure: true`.",
    ),
    (
        "mutualTLS.iAcceptInsecure",
        "Said by who switches verification off.",
    ),
    ("mutualTLS.certificateValidityDays", "In days."),
    (
        "mutualTLS.workloadTtl",
        "A short life in place of `certificateValidityDays`.",
    ),
    (
        "mutualTLS.renewBefore",
        "The end of a certificate. Default: 7 days; a third of a lifetime under 14 days.",
    ),
    (
        "mutualTLS.cipherSuites",
        "In order of preference. A version none of whose suites is named gets those that encrypt the same way. Default: all that are known.",
    ),
    ("mutualTLS.protocols", "Versions of TLS."),
    (
        "mutualTLS.crlStalePolicy",
        "What happens to connections when the revocation list is too old.",
    ),
    (
        "mutualTLS.authority",
        "Who signs: one of these kinds. Default: `local`.",
    ),
    ("authority.local", "A CA of the mesh's own, kept in `stateDir`."),
    ("authority.files", "Certificates someone else puts into files."),
    ("files.cert", "The chain, PEM."),
    ("files.key", "Its key, PEM."),
    ("files.ca", "The roots, PEM."),
    (
        "files.crl",
        "The revocation lists. They count for new connections; those that are open stay.",
    ),
    (
        "authority.remote",
        "A CA at another place: a proxy with `certificateApi`. Once this proxy has joined, it renews its certificate by showing it, also after a restart.",
    ),
    ("remote.url", "Its address, as `https://ca.example:9443`."),
    (
        "remote.joinToken",
        "What this proxy joins with: what `mesh-proxy cert token` prints there. It counts once. This, or `joinTokenFile`.",
    ),
    (
        "remote.joinTokenFile",
        "A file with the token, read whenever there is no certificate that counts: a new token needs no restart. It may be missing otherwise.",
    ),
    ("authority.kubernetes", "A secret of Kubernetes."),
    ("kubernetes.secret", "Its name."),
    ("authority.spire", "A SPIRE agent."),
    ("spire.socket", "Its socket."),
    (
        "mutualTLS.certificateApi",
        "Where other proxies ask the CA of this one for certificates (`authority.remote` there). It speaks TLS by this proxy's own identity, which join tokens name, and shows nothing to who has neither a token nor a certificate but the roots. Only with `authority.local`. Default: nowhere.",
    ),
    ("certificateApi.bind", "Where it listens."),
    (
        "mutualTLS.stateDir",
        "Where the CA's key, what it issued, and this process's own certificate are kept; made on the first start with `local`.",
    ),
    ("serviceMesh.trafficManagement", "Which requests go where."),
    (
        "trafficManagement.rules",
        "Tried first, over all hosts. If none fits, `Host` names the service.",
    ),
    (
        "trafficManagement.gatewayApi",
        "Files with routes of the Kubernetes Gateway API (`HTTPRoute`, `GRPCRoute`; several documents each). They are tried behind `rules`, in the API's own precedence. Read when this file is.",
    ),
    ("rules[].id", "Its id, unlike the others'; a label of metrics."),
    ("rules[].name", "A name for people. Default: the id."),
    (
        "rules[].priority",
        "Higher first; of one priority, in the order of the file.",
    ),
    ("rules[].enabled", "`false`: it is never tried."),
    ("rules[].conditions", "All must hold. None: it always does."),
    ("conditions[].type", "What is looked at."),
    (
        "conditions[].field",
        "The name of the header, cookie or parameter; with these types only.",
    ),
    (
        "conditions[].operator",
        "How it is compared. `prefix` of a path is by segment; `regex` matches the whole value; `not_*` hold if there is nothing to compare.",
    ),
    (
        "conditions[].value",
        "What it is compared with: one value, a list with `in`, none with `exists` and `not_exists`.",
    ),
    (
        "rules[].destinations",
        "Where requests go. This, `respond` or `redirect`. Weights add up to 100.",
    ),
    (
        "destinations[].service",
        "A service; `sample-service-v2` names version `v2` of `sample-service` if there is no service of that name.",
    ),
    ("destinations[].version", "Default: the stable one."),
    ("destinations[].weight", "In percent."),
    ("rules[].respond", "An answer of the rule's own."),
    ("respond.status", "Its status."),
    (
        "respond.body",
        "Its body; `text/plain` unless a header says otherwise.",
    ),
    ("respond.headers", "Its header fields."),
    (
        "rules[].redirect",
        "Sends the client elsewhere. What is left out stays as in the request.",
    ),
    ("redirect.status", "301, 302, 303, 307 or 308."),
    ("redirect.scheme", "The scheme."),
    ("redirect.host", "The host."),
    ("redirect.port", "The port."),
    ("redirect.path", "The whole path."),
    (
        "redirect.prefix",
        "In place of the prefix that the rule's condition matched.",
    ),
    (
        "rules[].rewrite",
        "What of a request is changed before it is sent on.",
    ),
    (
        "rewrite.prefix",
        "In place of the prefix that the rule's condition matched.",
    ),
    ("rewrite.host", "In place of the host."),
    (
        "rules[].requestHeaders",
        "Header fields of the request: first removed, then set, then added.",
    ),
    (
        "rules[].responseHeaders",
        "Header fields of the response: first removed, then set, then added.",
    ),
    ("set", "In place of any of the name."),
    ("add", "Besides those of the name."),
    ("remove", "All of the name."),
    (
        "rules[].cors",
        "Which pages of other origins may read the responses; their preflight requests are answered.",
    ),
    (
        "cors.allowOrigins",
        "As `https://shop.example.com` or `https://*.example.com`; `*`: all.",
    ),
    ("cors.allowMethods", "Besides GET, HEAD and POST; `*`: all."),
    (
        "cors.allowHeaders",
        "Of the request, besides those that need no leave; `*`: all.",
    ),
    (
        "cors.exposeHeaders",
        "Of the response, besides those that need no leave; `*`: all, if no credentials are allowed.",
    ),
    (
        "cors.allowCredentials",
        "Whether requests may carry cookies and the like.",
    ),
    (
        "cors.maxAge",
        "How long a browser keeps the answer to a preflight request, in whole seconds.",
    ),
    ("rules[].timeout", "In place of the service's."),
    (
        "rules[].mirror",
        "Where a copy of requests goes; its answers are thrown away. It carries `x-mesh-mirror: true`. It never slows \
         its request: one that is 1 MiB behind, takes longer than 15 seconds, or comes while 64 are under way is given \
         up and counted (`service_mesh_mirrored_total`).",
    ),
    ("mirror.service", "The service."),
    ("mirror.version", "Default: the stable one."),
    ("mirror.percentage", "How many."),
    ("serviceMesh.telemetry", "Spans, logs and notes."),
    ("telemetry.otlp", "Where spans go, over OTLP. Off unless written."),
    ("otlp.endpoint", "The collector."),
    ("otlp.protocol", "What it speaks."),
    (
        "otlp.sampleRatio",
        "The share of traces that begin here and are kept; of others their beginning decided. Requests that failed or were \
         slow are kept in any case.",
    ),
    ("otlp.slow", "A request that takes so long is slow."),
    (
        "otlp.headers",
        "Fields of each request to the collector, as a key. Their values are shown nowhere; those of secrets belong into `file` or \
         `env`. Default: none.",
    ),
    ("headers.*.value", "The value."),
    (
        "headers.*.file",
        "A file that holds the value; it is read when the configuration is.",
    ),
    (
        "headers.*.env",
        "A variable of the environment that holds the value.",
    ),
    ("otlp.ca", "With `https`: a file of further roots, PEM."),
    (
        "telemetry.jaeger",
        "Where spans go, over Jaeger's own protocol (Thrift over HTTP), which newer collectors do not speak. The same spans as \
         over OTLP if both are written; alone, of every trace. Off unless written.",
    ),
    ("jaeger.endpoint", "The collector."),
    (
        "telemetry.accessLog",
        "A line for each request, on standard output; the log of the process is on standard error. Off unless written.",
    ),
    ("accessLog.format", "What a line looks like."),
    (
        "accessLog.sample",
        "The share of requests that are logged, errors among them.",
    ),
    (
        "accessLog.query",
        "The path is logged with its query, in which there may be secrets.",
    ),
    (
        "telemetry.anomalies",
        "Notes, as an event and in `service_mesh_anomaly`, when requests of a route fail or take longer than they usually do: compared with the median of the last 60 windows. Off unless written.",
    ),
    ("anomalies.window", "How long is looked at each time."),
    (
        "anomalies.sensitivity",
        "How many deviations above the median are unusual: less notes more.",
    ),
    (
        "anomalies.minimumRequests",
        "Windows with fewer requests say nothing.",
    ),
    (
        "canaryDeployment.autoPromote",
        "A stage that went well leads to the next by itself.",
    ),
    (
        "canaryDeployment.autoRollback",
        "A bad canary is rolled back by itself.",
    ),
    ("canaryDeployment.successCriteria", "What a stage has to reach."),
    ("successCriteria.errorRate", "At most."),
    ("successCriteria.responseTime", "The 95th percentile, at most."),
    ("successCriteria.duration", "The window."),
    ("canaryDeployment.rollbackCriteria", "What leads to a rollback."),
    ("rollbackCriteria.errorRate", "Above it."),
    ("rollbackCriteria.responseTime", "The 95th percentile, above it."),
    ("rollbackCriteria.duration", "The window."),
    (
        "canaryDeployment.services",
        "Which services. Default: every one with several versions.",
    ),
    (
        "canaryDeployment.stages",
        "Weights rise, the last is 100. Default: 5, 10, 20, 50, 100 after 5, 5, 10, 10 minutes.",
    ),
    ("stages[].weight", "The canary's share in percent."),
    (
        "stages[].duration",
        "How long it lasts at least. Of the last: how long the new version is watched with all requests; default none.",
    ),
    (
        "canaryDeployment.abTest",
        "An A/B run instead of stages: a fixed split, both versions reported, and nothing promoted by itself.",
    ),
    ("abTest.weight", "The new version's share in percent."),
    (
        "abTest.duration",
        "How long both versions are looked at before it is told that somebody should decide. At most 30d.",
    ),
    ("canaryDeployment.analysis", "How a stage is judged."),
    (
        "analysis.source",
        "Whom analysis templates are asked of, beside what the proxy counts itself: nobody (`builtin`), or a Prometheus. \
         Default: `builtin`.",
    ),
    ("source.prometheus", "A Prometheus server."),
    ("prometheus.url", "Its address."),
    (
        "analysis.judge",
        "`sequential`: a test against the stable version. `threshold`: the criteria alone.",
    ),
    (
        "analysis.falseRollback",
        "How often a good canary may be rolled back.",
    ),
    ("canaryDeployment.routing", "Who is pinned to a version."),
    (
        "routing.header",
        "`true` pins to the canary, `false` to the stable version.",
    ),
    (
        "routing.cookie",
        "`always` pins to the canary, `never` to the stable version.",
    ),
    ("routing.sticky", "A client stays with the version it got."),
    (
        "routing.cookieKeyFile",
        "The key that sticky cookies are signed with, for replicas that share it: 32 hexadecimal digits, made if it is not \
         there. Default: `cookie.key` in `stateDir`.",
    ),
    ("canaryDeployment.stateDir", "Where decisions are kept."),
];
