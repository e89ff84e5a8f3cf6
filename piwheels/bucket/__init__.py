"""A copy of the web root in a bucket of S3-compatible object storage, which follows it.

The local disk is authoritative. Triggers record what was published or removed (db.bucket_changes);
the follower makes the bucket like the disk there, in an order that no installer can notice.
"""
