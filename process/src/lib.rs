//! What every SmartOps process needs: arguments, servers, health, client, metrics, clock, supervision.
